/** Resources for tests, as YAML. Plain objects in, so that a test says only what it is about. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { World } from './world.ts'

type Spec = Readonly<Record<string, unknown>>
export type Resource = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
} & Spec

/** Terminates TLS on every port and reads plain HTTP; deny-all unless `spec` says otherwise. */
export function gateway(spec: Spec = {}, name = 'test'): Resource {
  const listeners = [
    { name: 'tls', protocol: 'TLS', tls: { mode: 'Terminate' } },
    { name: 'http', protocol: 'HTTP', port: 80 },
  ]
  return clrk('EgressGateway', name, { defaultPolicy: 'deny-all', listeners, ...spec })
}

/** Allows `matches` (destinationHostnames, destinationCIDRs, ports, …). */
export function l4Route(matches: readonly Spec[], name = 'l4', parent = 'test'): Resource {
  return clrk('EgressL4Route', name, { parentRefs: [parentRef('EgressGateway', parent)], rules: [{ matches }] })
}

export function allowHosts(...hosts: readonly string[]): Resource {
  return l4Route([{ destinationHostnames: hosts, ports: [{ port: 443 }] }], 'hosts')
}

/** The seed's route: Anthropic's two endpoints. `match` replaces the only match. */
export function providerRoute(
  match: Spec = { provider: 'anthropic', endpoints: ['/v1/messages', '/v1/complete'] },
  name = 'anthropic',
  parent = 'test',
): Resource {
  return clrk('AIProviderRoute', name, {
    parentRefs: [parentRef('EgressGateway', parent)],
    rules: [{ matches: [match] }],
  })
}

/** Injects key `api-key` of Secret `<name>-credentials` as `headerName` on the route of that name. */
export function injection(name = 'anthropic', headerName = 'x-api-key'): Resource {
  return clrk('CredentialInjectionPolicy', name, {
    parentRefs: [parentRef('AIProviderRoute', name)],
    secretRef: { name: `${name}-credentials` },
    secretKey: 'api-key',
    target: 'Header',
    headerName,
  })
}

export function secret(name: string, data: Readonly<Record<string, string>>): Resource {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'latin1').toString('base64')])
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: Object.fromEntries(encoded) }
}

/** The whole main job: gateway, provider route, injection and its Secret. */
export function mainJob(key: string, gatewaySpec: Spec = {}): readonly Resource[] {
  return [gateway(gatewaySpec), providerRoute(), injection(), secret('anthropic-credentials', { 'api-key': key })]
}

/** Writes `resources` into the world's directory; the path, for `-f`. */
export function writeManifests(world: World, resources: readonly Resource[], file = 'manifests.yaml'): string {
  const path = join(world.directory, file)
  writeFileSync(path, resources.map(resource => stringify(resource)).join('---\n'), { mode: 0o600 })
  return path
}

function clrk(kind: string, name: string, spec: Spec): Resource {
  return { apiVersion: 'clrk.apoxy.dev/v1alpha1', kind, metadata: { name }, spec }
}

function parentRef(kind: string, name: string): Spec {
  return { group: 'clrk.apoxy.dev', kind, name }
}
