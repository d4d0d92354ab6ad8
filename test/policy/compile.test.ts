import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isClrkError } from '../../src/errors.ts'
import { compilePolicy, gatewaysOf, secretKeysOf } from '../../src/policy/compile.ts'
import { ai, gateway, inject, l4, load, object, SECRET } from '../resources/fixtures.ts'
import { policy } from './fixtures.ts'

const PARTS = [
  gateway(
    'dns: {lookupFamily: V6Only}, upstreamProxy: {url: "https://Proxy.Corp", secretRef: {name: corp}}, upstreamTLS: {additionalTrustBundleSecretRef: {name: ca}, hostAliases: [{ip: 10.0.0.9, hostnames: [A.corp]}]}',
  ),
  l4(
    'one',
    '{destinationHostnames: [a.com], ports: [{startPort: 80, endPort: 90}]}',
    '{destinationCIDRs: [10.0.0.0/8]}',
  ),
  ai('two', '{provider: custom, hostnames: ["*.b.com"], endpoints: [/x], models: [m-*]}'),
  inject('p', 'AIProviderRoute', 'two', 'X-Key'),
  SECRET,
]

test('resources become one policy without a secret in it', () => {
  const { digest, ...rest } = policy(...PARTS)
  assert.match(digest, /^[0-9a-f]{64}$/)
  assert.deepEqual(rest, {
    gateway: 'default/test',
    revision: 1,
    defaultPolicy: 'deny-all',
    enforcement: 'enforce',
    isolation: 'shared',
    listeners: [{ name: 'egress', kind: 'tls-terminate', port: null }],
    l4Rules: [
      {
        id: 'default/one/0/0',
        cidrs: [],
        hostnames: [{ kind: 'exact', name: 'a.com' }],
        ports: [{ start: 80, end: 90 }],
      },
      { id: 'default/one/1/0', cidrs: [{ address: '10.0.0.0', prefix: 8 }], hostnames: [], ports: [] },
    ],
    providerRules: [
      {
        id: 'default/two/0/0',
        route: 'default/two',
        provider: 'custom',
        hosts: [{ kind: 'wildcard', suffix: 'b.com' }],
        endpoints: ['/x'],
        models: ['m-*'],
        credentials: [
          {
            policy: 'default/p',
            secret: { secret: 'default/keys', key: 'token' },
            target: 'Header',
            headerName: 'x-key',
          },
        ],
        fault: null,
      },
    ],
    hostAliases: [{ name: 'a.corp', address: '10.0.0.9' }],
    trustBundle: 'default/ca',
    upstreamProxy: { secure: true, host: 'proxy.corp', port: 443, secret: 'default/corp' },
    lookupFamily: 'V6Only',
    requestTimeoutMs: 300_000,
    otlp: { endpoint: null, headers: {}, captureBody: null },
    fault: null,
  })
})

test('a shard is given the keys that the policy names, and no other', () => {
  const keys = secretKeysOf(policy(...PARTS)).map(({ secret, key }) => `${secret}/${key}`)
  assert.deepEqual(keys, ['default/keys/token', ...['username', 'password', 'token'].map(key => `default/corp/${key}`)])
})

for (const [url, expected] of [
  ['http://proxy.corp', { secure: false, host: 'proxy.corp', port: 80 }],
  ['HTTP://PROXY:3128/', { secure: false, host: 'proxy', port: 3128 }],
  ['http://10.0.0.7:80', { secure: false, host: '10.0.0.7', port: 80 }],
  ['https://[2001:DB8::1]:8443', { secure: true, host: '2001:db8::1', port: 8443 }],
] as const) {
  test(`the proxy ${url}`, () => {
    const { upstreamProxy } = policy(gateway(`upstreamProxy: {url: "${url}"}`))
    assert.deepEqual(upstreamProxy, { ...expected, secret: null })
  })
}

test('the digest depends on what the resources say, not on their order or on the revision', () => {
  const { digest } = policy(...PARTS)
  assert.equal(compilePolicy(load(...PARTS.toReversed()), 'default/test', 9).digest, digest)
  assert.notEqual(policy(...PARTS.map(part => part.replace('endPort: 90', 'endPort: 91'))).digest, digest)
})

test('listeners: TLS passes through unless it says Terminate, HTTPS terminates', () => {
  const listeners =
    '[{name: a, protocol: TLS}, {name: b, protocol: HTTPS, port: 8443}, {name: c, protocol: HTTP}, {name: d, protocol: TCP}]'
  assert.deepEqual(
    policy(gateway('', listeners)).listeners.map(({ kind }) => kind),
    ['tls-passthrough', 'tls-terminate', 'http', 'tcp'],
  )
})

test('a route of another namespace may point at the gateway, one at another gateway does not count', () => {
  const elsewhere = ai('r', '{provider: openai}')
    .replace('{name: r}', '{name: r, namespace: other}')
    .replace('name: test}', 'name: test, namespace: default}')
  const lost = ai('s', '{provider: google}').replace('name: test}', 'name: test, namespace: other}')
  assert.deepEqual(
    policy(gateway(), elsewhere, lost).providerRules.map(({ route }) => route),
    ['other/r'],
  )
})

test('a gateway that is not there is an error of ours', () => {
  const resources = load(gateway(), object('EgressGateway', 'second', '{listeners: [{name: a, protocol: TCP}]}'))
  assert.deepEqual(gatewaysOf(resources), ['default/test', 'default/second'])
  assert.throws(() => compilePolicy(resources, 'default/gone', 1), isClrkError)
})
