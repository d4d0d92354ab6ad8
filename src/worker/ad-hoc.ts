/** Manifests that a command line stands for: they go through the same loading and compiling as any file. */
import type { ResourceFile } from './control.ts'

const GATEWAY = 'run'

/**
 * A deny-all gateway that terminates TLS and allows exactly `allow`; with `gateway` (`namespace/name`), only the route,
 * attached to that one. JSON is YAML, so values need no quoting rules of their own.
 */
export function adHocManifest(
  gateway: string | null,
  allow: readonly { readonly host: string; readonly port: number }[],
): { readonly file: ResourceFile; readonly gateway: string } {
  const [namespace = 'default', name = GATEWAY] = (gateway ?? `default/${GATEWAY}`).split('/')
  const apiVersion = 'clrk.apoxy.dev/v1alpha1'
  const documents: object[] = []
  if (gateway === null) {
    documents.push({
      apiVersion,
      kind: 'EgressGateway',
      metadata: { name, namespace },
      spec: {
        defaultPolicy: 'deny-all',
        listeners: [{ name: 'egress', protocol: 'TLS', tls: { mode: 'Terminate' } }],
      },
    })
  }
  if (allow.length > 0) {
    documents.push({
      apiVersion,
      kind: 'EgressL4Route',
      metadata: { name: 'command-line', namespace },
      spec: {
        parentRefs: [{ group: 'clrk.apoxy.dev', kind: 'EgressGateway', name, namespace }],
        rules: allow.map(({ host, port }) => ({
          matches: [{ destinationHostnames: [host], ports: [{ port }], protocol: 'TCP' }],
        })),
      },
    })
  }
  const text = documents.map(document => JSON.stringify(document)).join('\n---\n')
  return { file: { path: 'command line', text }, gateway: `${namespace}/${name}` }
}
