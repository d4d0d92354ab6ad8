/** One span and one log record a request, by OTLP over HTTP, with the names of the contract; no secret in either. */
import assert from 'node:assert/strict'
import { clrkRun, startWorker } from '../world/clrk.ts'
import { eventually } from '../world/eventually.ts'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { testEverywhere } from '../world/runtimes.ts'
import type { World } from '../world/world.ts'

const OTLP = {
  otlp: {
    endpoint: 'http://collector.example.com:4318',
    headers: { 'x-tenant': 'acme' },
    captureBody: { maxBytes: 65_536 },
  },
}
const SENT = JSON.stringify({
  model: 'claude-stand-in',
  max_tokens: 16,
  messages: [{ role: 'user', content: 'hello'.repeat(20) }],
})

testEverywhere('requests are seen at the collector, with usage and without keys', async world => {
  await startWorker(world, [])
  const manifests = [
    gateway(OTLP),
    providerRoute(),
    injection(),
    secret('anthropic-credentials', { 'api-key': world.key }),
  ]
  const script = `u=https://api.anthropic.com/v1/messages j='content-type: application/json'
curl -sS -o /dev/null -H "$j" -H 'x-api-key: sk-foreign' -H 'Cookie: a=sk-foreign' -d '${SENT}' $u
curl -sS -o /dev/null -H "$j" -d '{"model":"claude-stand-in","stream":true}' $u
curl -sS -o /dev/null https://other.example.com/denied`
  assert.equal((await clrkRun(world, ['sh', '-c', script], { manifests })).code, 0)

  const spans = await exported(world, '/v1/traces', 'spans', 2)
  const logs = await exported(world, '/v1/logs', 'logRecords', 2)
  const messages = spans.filter(span => attributes(span)['url.path'] === '/v1/messages')
  assert.equal(messages.length, 2)
  for (const span of messages) {
    const seen = attributes(span)
    assert.equal(span.name, 'chat claude-stand-in')
    assert.equal(span.kind, 2)
    assert.deepEqual(
      [
        'http.request.method',
        'server.address',
        'http.response.status_code',
        'gen_ai.system',
        'gen_ai.operation.name',
        'gen_ai.usage.input_tokens',
        'gen_ai.usage.output_tokens',
      ].map(name => seen[name]),
      ['POST', 'api.anthropic.com', '200', 'anthropic', 'chat', '11', '7'],
    )
  }
  const [first] = messages
  const headers = attributes(first?.events.find(({ name }) => name === 'http.request.headers'))
  assert.equal(headers['http.request.header.x-api-key'], '[redacted]')
  assert.equal(headers['http.request.header.cookie'], '[redacted]')
  const body = attributes(first?.events.find(({ name }) => name === 'http.request.body'))
  assert.equal(Buffer.from(body['clrk.body.b64'] ?? '', 'base64').toString(), SENT)
  assert.equal(logs.filter(log => log.traceId === first?.traceId).length, 1)

  const posts = (await world.requests()).filter(({ role }) => role === 'collector')
  assert.ok(
    posts.every(({ fields }) => fields.some(([name, value]) => name.toLowerCase() === 'x-tenant' && value === 'acme')),
  )
  for (const { body } of posts) {
    const text = body + JSON.stringify(decoded(body))
    assert.ok(!text.includes(world.key) && !text.includes('sk-foreign'))
  }
})

testEverywhere('a collector that is down costs a request nothing', async world => {
  const otlp = { otlp: { endpoint: 'http://198.41.0.4:4318' } } // accepts, and never answers
  const manifests = [
    gateway(otlp),
    providerRoute(),
    injection(),
    secret('anthropic-credentials', { 'api-key': world.key }),
  ]
  const { stdout } = await clrkRun(world, ['curl', '-sS', '-d', '{}', 'https://api.anthropic.com/v1/messages'], {
    manifests,
  })
  assert.match(stdout, /"output_tokens":7/)
})

type KeyValue = { readonly key: string; readonly value: Readonly<Record<string, unknown>> }
type Item = {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly attributes: readonly KeyValue[]
  readonly events: readonly Item[]
}

/** Spans or log records that arrived at `path`, once there are `atLeast` so many. */
async function exported(
  world: World,
  path: string,
  kind: 'spans' | 'logRecords',
  atLeast: number,
): Promise<readonly Item[]> {
  return eventually(async () => {
    const posts = (await world.requests()).filter(({ role, target }) => role === 'collector' && target === path)
    const items = posts.flatMap(({ body }) => find(JSON.parse(body), kind))
    return items.length >= atLeast ? items : null
  })
}

function find(value: unknown, name: string): readonly Item[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => (key === name ? (inner as Item[]) : find(inner, name)))
}

function attributes(item: Pick<Item, 'attributes'> | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries((item?.attributes ?? []).map(({ key, value }) => [key, String(Object.values(value)[0])]))
}

/** Every base64 body in an export, as text: what is hidden there counts as well. */
function decoded(body: string): readonly string[] {
  return [...body.matchAll(/"clrk\.body\.b64","value":\{"stringValue":"([^"]*)"/g)].map(([, text]) =>
    Buffer.from(text ?? '', 'base64').toString('latin1'),
  )
}
