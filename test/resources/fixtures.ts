/** Manifests for tests, as text. */
import assert from 'node:assert/strict'
import { loadResources, type ResourceSet } from '../../src/resources/load.ts'

/** Loads YAML that has no problem. */
export function load(...texts: readonly string[]): ResourceSet {
  const { resources, problems } = loadResources(texts.map((text, index) => ({ path: `${index}.yaml`, text })))
  const [problem] = problems
  if (problem !== undefined) throw new Error(JSON.stringify(problem.details))
  return resources
}

/** `line:column reason | fix` of each problem. */
export function problemsOf(text: string): string[] {
  return loadResources([{ path: 'test.yaml', text }]).problems.map(({ code, details }) => {
    assert.equal(code, 'CLRK_RESOURCE_INVALID')
    assert.equal(details.file, 'test.yaml')
    return `${details.line}:${details.column} ${details.reason} | ${details.fix}`
  })
}

/** An object of our group; `spec` is flow YAML. */
export function object(kind: string, name: string, spec: string, metadata = ''): string {
  return `apiVersion: clrk.apoxy.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}${metadata}}\nspec: ${spec}\n`
}

export const TERMINATE = '[{name: egress, protocol: TLS, tls: {mode: Terminate}}]'

/** EgressGateway `default/test`. */
export function gateway(more = '', listeners = TERMINATE): string {
  return object('EgressGateway', 'test', `{listeners: ${listeners}${more === '' ? '' : `, ${more}`}}`)
}

export const TO_GATEWAY = 'parentRefs: [{group: clrk.apoxy.dev, kind: EgressGateway, name: test}]'

/** EgressL4Route `default/NAME` of that gateway, one rule for each match. */
export function l4(name: string, ...matches: readonly string[]): string {
  return object('EgressL4Route', name, `{${TO_GATEWAY}, rules: [${matches.map(m => `{matches: [${m}]}`).join(', ')}]}`)
}

/** AIProviderRoute `default/NAME` of that gateway. */
export function ai(name: string, ...matches: readonly string[]): string {
  return object(
    'AIProviderRoute',
    name,
    `{${TO_GATEWAY}, rules: [${matches.map(m => `{matches: [${m}]}`).join(', ')}]}`,
  )
}

/** CredentialInjectionPolicy `default/NAME` with Secret `keys`, key `token`. */
export function inject(name: string, kind: string, target: string, header: string, metadata = ''): string {
  const reference = `{group: clrk.apoxy.dev, kind: ${kind}, name: ${target}}`
  const spec = `{targetRefs: [${reference}], secretRef: {name: keys}, target: Header, headerName: ${header}}`
  return object('CredentialInjectionPolicy', name, spec, metadata)
}

/** Secret `default/keys` with key `token`. */
export const SECRET = 'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {token: not-a-real-key}\n'
