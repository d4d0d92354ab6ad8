import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePolicy } from '../../src/policy/compile.ts'
import { statusOf, warningsOf } from '../../src/resources/references.ts'
import { ai, gateway, inject, load, object, SECRET } from './fixtures.ts'

const BASE = [gateway(), ai('route', '{provider: anthropic}'), SECRET]

/** Which policy sets each header on the only provider rule. */
function injected(...more: readonly string[]): Record<string, string> {
  const [rule] = compilePolicy(load(...BASE, ...more), 'default/test', 1).providerRules
  return Object.fromEntries((rule?.credentials ?? []).map(({ headerName, policy }) => [headerName, policy]))
}

test('a policy on the route goes before one on the gateway, and the loser says Conflicted', () => {
  const onGateway = inject('a', 'EgressGateway', 'test', 'x-api-key', ', creationTimestamp: "2020-01-01T00:00:00Z"')
  const onRoute = inject('z', 'AIProviderRoute', 'route', 'X-Api-Key')
  assert.deepEqual(injected(onGateway, onRoute), { 'x-api-key': 'default/z' })
  assert.deepEqual(warningsOf(load(...BASE, onGateway, onRoute)), [
    'CredentialInjectionPolicy default/a: Conflicted: default/z sets x-api-key on default/route instead.',
  ])
})

test('of two on one route the older wins, then the name; other headers are set beside it', () => {
  const old = inject('z', 'AIProviderRoute', 'route', 'x-api-key', ', creationTimestamp: "2020-01-01T00:00:00Z"')
  const young = inject('a', 'AIProviderRoute', 'route', 'x-api-key', ', creationTimestamp: "2021-01-01T00:00:00Z"')
  const ageless = inject('b', 'AIProviderRoute', 'route', 'x-api-key')
  const other = inject('c', 'EgressGateway', 'test', 'authorization')
  assert.deepEqual(injected(young, ageless, old, other), { 'x-api-key': 'default/z', authorization: 'default/c' })
  assert.deepEqual(injected(ageless, inject('a', 'AIProviderRoute', 'route', 'x-api-key')), {
    'x-api-key': 'default/a',
  })
})

test('a policy does nothing in another namespace, and says so (T98)', () => {
  const foreign = object(
    'CredentialInjectionPolicy',
    'p',
    '{targetRefs: [{group: clrk.apoxy.dev, kind: AIProviderRoute, name: route, namespace: default}], secretRef: {name: keys}, target: Header, headerName: x-api-key}',
    ', namespace: other',
  )
  assert.deepEqual(injected(foreign), {})
  assert.match(warningsOf(load(...BASE, foreign), () => true).join(), /RefNotPermitted/)
})

test("a gateway's credential never follows a route from another namespace (T98)", () => {
  const route = ai('evil', '{provider: custom, hostnames: [evil.com]}')
    .replace('{name: evil}', '{name: evil, namespace: other}')
    .replace('name: test}', 'name: test, namespace: default}')
  const resources = load(gateway(), route, SECRET, inject('p', 'EgressGateway', 'test', 'x-api-key'))
  const { providerRules } = compilePolicy(resources, 'default/test', 1)
  assert.deepEqual(
    providerRules.map(({ route, credentials }) => ({ route, credentials })),
    [{ route: 'other/evil', credentials: [] }],
  )
})

test('what does not resolve has a condition that says so', () => {
  const agent = '{template: {spec: {command: [a]}}, egressRefs: [{gatewayRef: {name: gone}}]}'
  const warnings = warningsOf(
    load(
      gateway('upstreamTLS: {additionalTrustBundleSecretRef: {name: gone}}'),
      ai('lost', '{provider: openai}').replace('name: test}', 'name: gone}'),
      ai('odd', '{provider: openai}').replace('kind: EgressGateway', 'kind: Gateway'),
      inject('nothing', 'AIProviderRoute', 'gone', 'x-api-key'),
      inject('route', 'EgressL4Route', 'gone', 'x-api-key'),
      object('TaskAgent', 't', agent),
    ),
  )
  assert.deepEqual(
    warnings.map(warning => warning.split(': ').slice(0, 2).join(': ')),
    [
      'EgressGateway default/test: SecretNotFound',
      'AIProviderRoute default/lost: NoMatchingParent',
      'AIProviderRoute default/odd: NoMatchingParent',
      'AIProviderRoute default/odd: InvalidKind',
      'CredentialInjectionPolicy default/nothing: TargetNotFound',
      'CredentialInjectionPolicy default/nothing: SecretNotFound',
      'CredentialInjectionPolicy default/route: Invalid',
      'CredentialInjectionPolicy default/route: SecretNotFound',
      'TaskAgent default/t: GatewayNotFound',
    ],
  )
})

test('a proxy whose credential is not there has a condition that says so', () => {
  const resources = load(gateway('upstreamProxy: {url: "http://proxy.corp", secretRef: {name: corp}}'))
  const message =
    'There is no Secret default/corp with keys username and password, or token; until there is, nothing leaves.'
  const expected = [`EgressGateway default/test: SecretNotFound: ${message}`]
  assert.deepEqual(warningsOf(resources), expected)
  assert.deepEqual(
    warningsOf(resources, (_, key) => key === 'username'),
    expected,
  )
  assert.deepEqual(
    warningsOf(resources, (_, key) => key !== 'token'),
    [],
  )
  assert.deepEqual(
    warningsOf(resources, (_, key) => key === 'token'),
    [],
  )
})

test('a key that the caller knows of is no warning', () => {
  const resources = load(gateway(), ai('route', '{provider: openai}'), inject('p', 'AIProviderRoute', 'route', 'a'))
  assert.equal(warningsOf(resources).length, 1)
  assert.deepEqual(
    warningsOf(resources, (secret, key) => secret === 'default/keys' && key === 'token'),
    [],
  )
  const conditions = statusOf(resources, () => true).flatMap(({ conditions }) => conditions)
  assert.ok(conditions.every(({ type, status }) => status === (type === 'Conflicted' ? 'False' : 'True')))
})
