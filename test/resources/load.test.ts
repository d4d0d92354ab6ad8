import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { LIMITS } from '../../src/limits.ts'
import { loadResources, nameOf, ofKind } from '../../src/resources/load.ts'
import { gateway, l4, load, object, problemsOf, SECRET, TERMINATE } from './fixtures.ts'

/** The seed's objects, as /work/shared/seed/manifests.yaml and examples/echo-bot have them. */
const SEED = `# a comment first
apiVersion: v1
kind: Secret
metadata:
  name: anthropic-credentials
data:
  api-key: c2stYW50LW5vdC1hLXJlYWwta2V5
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata:
  name: echo-bot
spec:
  defaultPolicy: allow-all
  listeners:
    - name: egress
      protocol: TLS
      tls:
        mode: Terminate
  otlp:
    captureBody:
      maxBytes: 65536
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: AIProviderRoute
metadata:
  name: anthropic
spec:
  parentRefs:
    - group: clrk.apoxy.dev
      kind: EgressGateway
      name: echo-bot
  rules:
    - matches:
        - provider: anthropic
          endpoints:
            - /v1/messages
            - /v1/complete
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata:
  name: anthropic
spec:
  parentRefs:
    - group: clrk.apoxy.dev
      kind: AIProviderRoute
      name: anthropic
  secretRef:
    name: anthropic-credentials
  secretKey: api-key
  target: Header
  headerName: x-api-key
`

test("the seed's four objects load unchanged", () => {
  const resources = load(SEED)
  assert.deepEqual(
    resources.map(resource => `${resource.kind} ${nameOf(resource)}`),
    [
      'Secret default/anthropic-credentials',
      'EgressGateway default/echo-bot',
      'AIProviderRoute default/anthropic',
      'CredentialInjectionPolicy default/anthropic',
    ],
  )
  const [gateway] = ofKind(resources, 'EgressGateway')
  assert.deepEqual(gateway?.spec.otlp.captureBody?.includeContentTypes, [
    'application/json',
    'application/x-ndjson',
    'text/event-stream',
  ])
  assert.equal(gateway?.spec.requestTimeout, 300_000)
})

test('a Secret gives its bytes to whoever asks by key, and prints without them', () => {
  const [secret] = ofKind(load(SEED), 'Secret')
  assert.equal(secret?.reveal('api-key'), 'sk-ant-not-a-real-key')
  assert.equal(secret?.reveal('other'), null)
  assert.doesNotMatch(`${inspect(secret, { depth: 9 })}${JSON.stringify(secret)}`, /sk-ant|c2stYW50/)
})

test('stringData is UTF-8 and goes before data, both as bytes', () => {
  const text = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: w7w=, b: AP8=}\nstringData: {a: "é"}\n'
  const [secret] = ofKind(load(text), 'Secret')
  assert.equal(secret?.reveal('a'), '\xc3\xa9')
  assert.equal(secret?.reveal('b'), '\x00\xff')
})

test('what kubectl prints is read: server-set fields, status, a List', () => {
  const item = {
    apiVersion: 'clrk.apoxy.dev/v1alpha1',
    kind: 'EgressGateway',
    metadata: {
      name: 'test',
      namespace: 'team',
      uid: 'x',
      resourceVersion: '7',
      generation: 3,
      creationTimestamp: '2026-01-31T12:00:00Z',
      managedFields: [{}],
    },
    spec: { listeners: [{ name: 'a', protocol: 'HTTPS', port: null }] },
    status: { anything: true },
  }
  const [resource] = load(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [item], metadata: {} }))
  assert.equal(resource && nameOf(resource), 'team/test')
  assert.equal(resource?.metadata.createdMs, Date.parse('2026-01-31T12:00:00Z'))
})

test('agents are read into numbers', () => {
  const template = 'template: {spec: {command: [node, agent.mjs], env: [{name: A, value: b}], user: "1000:1001"}}'
  const egress = 'egressRefs: [{gatewayRef: {name: g, namespace: other}}]'
  const [task] = ofKind(load(object('TaskAgent', 't', `{${template}, ${egress}, timeout: 1m30s}`)), 'TaskAgent')
  assert.equal(task?.spec.timeout, 90_000)
  assert.deepEqual(task?.spec.template.spec.user, { uid: 1000, gid: 1001 })
  assert.deepEqual(task?.spec.resources, { cpu: 1, memory: 536_870_912 })
  const limits = 'resources: {cpu: 0.5, memory: 1.5Gi}, maxLifetimeSeconds: 60'
  const numbered = template.replace('"1000:1001"', '1000')
  const [daemon] = ofKind(load(object('DaemonAgent', 'd', `{${numbered}, ${limits}}`)), 'DaemonAgent')
  assert.deepEqual(daemon?.spec.template.spec.user, { uid: 1000, gid: 1000 })
  assert.deepEqual(daemon?.spec.resources, { cpu: 0.5, memory: 1_610_612_736 })
  assert.equal(daemon?.spec.restartPolicy, 'Always')
  assert.deepEqual(daemon?.spec.egressRefs, [])
})

test('an object with a problem is left out, the others are not', () => {
  const { resources, problems } = loadResources([
    { path: 'a.yaml', text: `${l4('bad', '{destinationCIDRs: [1.2.3.4/8]}')}---\n${gateway()}` },
    { path: 'b.yaml', text: 'kind: [\n---\n' },
    { path: 'c.yaml', text: '' },
    { path: 'd.yaml', text: SECRET },
  ])
  assert.deepEqual(
    resources.map(({ kind }) => kind),
    ['EgressGateway', 'Secret'],
  )
  assert.deepEqual(
    problems.map(({ details }) => details.file),
    ['a.yaml', 'b.yaml'],
  )
})

test('the same object twice is a problem that names the first', () => {
  const { resources, problems } = loadResources([
    { path: 'a.yaml', text: gateway() },
    { path: 'b.yaml', text: gateway('defaultPolicy: allow-all') },
  ])
  assert.equal(resources.length, 1)
  assert.equal(problems[0]?.details.reason, 'EgressGateway default/test is already defined at a.yaml:3')
})

test('no problem quotes a value of a Secret', () => {
  const head = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n'
  for (const body of [
    'data: {k: hunter2!}',
    'data: {k: [hunter2]}',
    'data: "hunter2',
    'data: {k: "hunter2\\q"}',
    'data: !hunter2 x',
  ]) {
    const problems = problemsOf(`${head}${body}\n`)
    assert.ok(problems.length > 0, body)
    assert.doesNotMatch(problems.join(), /hunter2/)
  }
})

test('size, depth and aliases are bounded (T107)', () => {
  const bomb = ['a: &a [x,x,x,x,x,x,x,x]', ...'bcdefgh'].map((line, index) => {
    const before = String.fromCharCode(96 + index)
    return index === 0 ? line : `${line}: &${line} [${Array(8).fill(`*${before}`).join(',')}]`
  })
  assert.match(problemsOf(bomb.join('\n')).join(), /^\d+:\d+ the document is too large, counting its aliases/)
  assert.match(problemsOf('['.repeat(100_000)).join(), /^1:1 the YAML nests too deep/)
  assert.match(problemsOf('- '.repeat(100_000)).join(), /^1:1 the YAML nests too deep/)
  assert.match(
    problemsOf(`#${'x'.repeat(LIMITS.resourceFileBytes)}`).join(),
    /^1:1 the file is larger than 4194304 bytes/,
  )
  const many = (aliases: number) =>
    `a: &a x\n${Array.from({ length: aliases }, (_, index) => `k${index}: *a\n`).join('')}`
  assert.match(problemsOf(many(1_001)).join(), /^1002:\d+ the document has too many aliases/)
  assert.match(problemsOf(many(1_000)).join(), /kind is missing/)
  const fields = Array.from({ length: 1_000 }, (_, index) => `  x${index}: 1\n`).join('')
  assert.equal(
    problemsOf(`apiVersion: clrk.apoxy.dev/v1alpha1\nkind: EgressGateway\nmetadata: {name: g}\nspec:\n${fields}`)
      .length,
    51, // and listeners is missing
  )
})

test('aliases that stay small are read', () => {
  const text = `${gateway().replace(TERMINATE, '&l [{name: a, protocol: TCP}]')}`
  assert.equal(load(text).length, 1)
})
