import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ai, gateway, inject, object, problemsOf, TO_GATEWAY } from './fixtures.ts'

const ROUTE = `apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressL4Route
metadata:
  name: r
spec:
  ${TO_GATEWAY}
  rules:
    - matches:
        - `

/** `§` stands where the problem is. */
for (const [what, text, problem] of [
  [
    'a CIDR with host bits',
    `${ROUTE}destinationCIDRs: [§10.1.2.3/8]`,
    '"10.1.2.3/8" has bits set past /8 | Write 10.0.0.0/8.',
  ],
  [
    'a prefix that is too long',
    `${ROUTE}destinationCIDRs: [§10.0.0.0/33]`,
    '"10.0.0.0/33" has a wrong prefix length | Write a prefix length from 0 to 32.',
  ],
  [
    'a port past 65535',
    `${ROUTE}{destinationHostnames: [a.com], ports: [{port: §70000}]}`,
    'port is too large | Write at most 65535.',
  ],
  [
    'a port in quotes',
    `${ROUTE}{destinationHostnames: [a.com], ports: [{port: §"443"}]}`,
    'port is not a number | Write a number.',
  ],
  [
    'a range that ends first',
    `${ROUTE}{destinationHostnames: [a.com], ports: [{startPort: 9, endPort: §8}]}`,
    'the range ends before it starts | Write the lower number as startPort.',
  ],
  [
    'a host name that is none',
    `${ROUTE}destinationHostnames: [§"a b.com"]`,
    '"a b.com" is not a host name | Write api.example.com, or *.example.com for one label more.',
  ],
  [
    'an address for a host name',
    `${ROUTE}destinationHostnames: [§127.1.]`,
    '"127.1." is an address, not a host name | Put it under destinationCIDRs.',
  ],
  [
    'a match of ports alone',
    `${ROUTE}§ports: [{port: 443}]`,
    'a match without a destination matches nothing | Add destinationHostnames or destinationCIDRs (0.0.0.0/0 and ::/0 for the whole public internet).',
  ],
  [
    'UDP',
    `${ROUTE}{destinationHostnames: [a.com], protocol: §UDP}`,
    '"UDP" is not supported by this version | Write TCP; of UDP, only DNS is carried.',
  ],
  [
    'sourceAgents',
    `${ROUTE}{destinationHostnames: [a.com], §sourceAgents: {}}`,
    'sourceAgents is not supported by this version | Give those agents an EgressGateway of their own, with its own routes.',
  ],
  ['an unknown provider', ai('a', '{provider: §antropic}'), '"antropic" is not a provider | Did you mean anthropic?'],
  [
    'custom without hosts',
    ai('a', '{provider: §custom}'),
    'a custom provider has no hosts of its own | Add hostnames: [api.example.com].',
  ],
  [
    'hosts of a known provider',
    ai('a', '{provider: openai, hostnames: §[evil.com]}'),
    'the hosts of openai are known | Leave hostnames out, or write provider: custom.',
  ],
  [
    'a broken glob',
    ai('a', '{provider: openai, endpoints: [§"/v1/[a"]}'),
    '"/v1/[a" has a class that is empty, unordered or not closed, at character 5 | Write a path or a glob of one, such as /v1/messages or /v1/*.',
  ],
  [
    'a reference without a group',
    object('EgressL4Route', 'r', '{parentRefs: [§{kind: EgressGateway, name: g}]}'),
    'group is missing | Add group.',
  ],
  [
    'a wrong duration',
    gateway('requestTimeout: §5 minutes'),
    '"5 minutes" is not a duration | Write a duration such as 30s, 5m or 1h30m.',
  ],
  [
    'a time longer than timers take',
    gateway('requestTimeout: §1000h'),
    '"1000h" is longer than 24 days | Write a duration such as 30s, 5m or 1h30m.',
  ],
  [
    'a wrong header name',
    inject('p', 'AIProviderRoute', 'r', '§"x api"'),
    '"x api" is not a header name | Write a header name such as x-api-key or authorization.',
  ],
  [
    'a header that frames',
    inject('p', 'AIProviderRoute', 'r', '§Content-Length'),
    '"Content-Length" is set by the proxy and never carries a credential | Write a header name such as x-api-key or authorization.',
  ],
  ...[
    'x',
    'proxy.corp:3128',
    'socks5://proxy.corp:1080',
    'http://user:pass-word@proxy.corp:3128',
    'http://@proxy.corp',
    'http://proxy.corp:3128/path',
    'http://proxy.corp:3128?q',
    'http://proxy.corp:0',
    'http://*.corp:3128',
  ].map(
    url =>
      [
        `the proxy ${url}`,
        gateway(`upstreamProxy: {url: §"${url}"}`),
        'this is not the URL of a proxy | Write http://HOST:PORT; a credential goes into secretRef.', // and quotes none
      ] as const,
  ),
  [
    "another namespace's Secret for the proxy",
    gateway('upstreamProxy: {url: "http://a.corp", secretRef: {name: a, namespace: §other}}'),
    'a Secret of namespace other is never used from namespace default | Leave namespace out and put the Secret in default.',
  ],
  [
    'caCertRef',
    gateway('', '[{name: a, protocol: TLS, tls: {§caCertRef: {name: x}}}]'),
    'caCertRef is not supported by this version | Leave it out; every gateway gets a CA of its own.',
  ],
  [
    'an UDP listener',
    gateway('', '[{name: a, protocol: §UDP}]'),
    '"UDP" is not supported by this version | Leave the listener out; of UDP, only DNS is carried.',
  ],
  [
    'an unknown field',
    gateway('§defaultPolcy: deny-all'),
    'unknown field "defaultPolcy" | Did you mean defaultPolicy?',
  ],
  [
    'an unknown value',
    gateway('defaultPolicy: §allow'),
    '"allow" is not known here | Write one of: deny-all, allow-all.',
  ],
  ['no listener', gateway('', '§[]'), 'listeners is empty | Write at least 1 item.'],
  [
    'a kind of the seed',
    object('§WorkerPool', 'w', '{}'),
    'WorkerPool is not supported by this version | Leave it out; the worker that reads these files runs the agents.',
  ],
  [
    'a misspelt kind',
    object('§EgressGatway', 'w', '{}'),
    'kind "EgressGatway" is unknown | Did you mean EgressGateway?',
  ],
  [
    'another version',
    gateway().replace('clrk.apoxy.dev/v1alpha1', '§clrk.apoxy.dev/v1'),
    'the apiVersion of EgressGateway is not this | Write apiVersion: clrk.apoxy.dev/v1alpha1.',
  ],
  ['a key that is there twice', 'a: 1\nb: 2\n§a: 3\n', 'the key is there twice, or is an alias | Keep one of the two.'],
  ['a tab', 'a:\n§\tb: 1\n', 'a tab is used for indentation | Mend the YAML here.'],
  ['an alias of nothing', 'a: §*b\n', 'the alias has no anchor before it | Write the value out.'],
  ['__proto__', 'metadata: {§__proto__: {name: x}}\n', 'the key __proto__ is never a field | Leave it out.'],
  ['a scalar', '§hello\n', 'this is not a resource | Write an object with apiVersion, kind, metadata and spec.'],
  ['a NUL', 'a: 1\nb: §\0\n', 'the file has a NUL in it | Save it as UTF-8 text.'],
  ['bytes that were not UTF-8', 'a: §\ufffd\n', 'the file is not UTF-8 | Save it as UTF-8 text.'],
  [
    'valueFrom',
    object('TaskAgent', 't', '{template: {spec: {command: [a], env: [{name: K, §valueFrom: {}}]}}}'),
    'valueFrom is not supported by this version | Write value; credentials are put on requests by a CredentialInjectionPolicy, never into an environment.',
  ],
  [
    'an agent with nothing to start',
    object('TaskAgent', 't', '{template: {spec: §{}}}'),
    'there is nothing to start | Add command: [PROGRAM, …] or image.',
  ],
  [
    'host paths (T125)',
    object('TaskAgent', 't', '{template: {spec: {command: [a], §volumes: []}}}'),
    'volumes is not supported by this version | Leave it out; host paths are given by whoever starts the worker.',
  ],
] as const) {
  test(`refused at its place, with what to write: ${what}`, () => {
    const before = text.slice(0, text.indexOf('§')).split('\n')
    const place = `${before.length}:${(before.at(-1)?.length ?? 0) + 1}`
    assert.deepEqual(problemsOf(text.replace('§', '')), [`${place} ${problem}`])
  })
}

for (const target of ['QueryParam', 'ProviderAuth']) {
  test(`target ${target} is refused by name`, () => {
    const [problem] = problemsOf(inject('p', 'AIProviderRoute', 'r', 'x-api-key').replace('Header,', `${target},`))
    assert.match(problem ?? '', new RegExp(`^4:\\d+ "${target}" is not supported by this version`))
  })
}

test('a policy never names a Secret of another namespace (T98)', () => {
  const text = inject('p', 'AIProviderRoute', 'r', 'x-api-key').replace(
    '{name: keys}',
    '{name: keys, namespace: other}',
  )
  assert.deepEqual(problemsOf(text), [
    `4:${(text.split('\n')[3]?.indexOf('other}') ?? 0) + 1} a Secret of namespace other is never used from namespace default | Leave namespace out and put the Secret in default.`,
  ])
})
