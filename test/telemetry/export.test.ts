/** Batches reach a real OTLP/HTTP receiver; a receiver that fails costs telemetry, never the caller. */
import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { LIMITS } from '../../src/limits.ts'
import { createExporter, type ExporterOptions } from '../../src/telemetry/export.ts'
import type { Signal } from '../../src/telemetry/otlp.ts'
import { egressResource } from '../../src/telemetry/record.ts'
import { exchange } from './exchange.ts'

type Received = { url: string | undefined; headers: IncomingHttpHeaders; body: string }

/** A receiver on loopback that answers `statuses` in turn, then 200. */
async function receiver(t: TestContext, statuses: number[] = []) {
  const received: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString('utf8') })
      response.writeHead(statuses.shift() ?? 200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return { received, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function exporter(t: TestContext, options: Partial<ExporterOptions>) {
  const failures: string[] = []
  const made = createExporter({
    endpoint: null,
    headers: {},
    resource: egressResource('default/echo-bot'),
    onFailure: reason => failures.push(reason),
    ...options,
  })
  t.after(() => made.close())
  return { ...made, failures }
}

function spansIn({ body }: Received): { attributes: unknown[] }[] {
  return JSON.parse(body).resourceSpans[0].scopeSpans[0].spans
}

test('one span and one log record an exchange arrive, by OTLP/HTTP JSON', async t => {
  const { received, endpoint } = await receiver(t)
  const { add, flush, counters } = exporter(t, { endpoint, headers: { 'x-tenant': 'a' } })
  for (let index = 0; index < 3; index++) add(exchange())
  await flush()
  assert.deepEqual(
    received.map(({ url, headers }) => [url, headers['content-type'], headers['x-tenant']]),
    [
      ['/v1/traces', 'application/json', 'a'],
      ['/v1/logs', 'application/json', 'a'],
    ],
  )
  const [traces, logs] = received.map(({ body }) => JSON.parse(body))
  assert.equal(traces.resourceSpans[0].scopeSpans[0].spans.length, 3)
  assert.equal(logs.resourceLogs[0].scopeLogs[0].logRecords.length, 3)
  assert.deepEqual(counters(), { recorded: 3, dropped: 0 })
})

test('an endpoint with a path is used as it is', async t => {
  const { received, endpoint } = await receiver(t)
  const { add, flush } = exporter(t, { endpoint: `${endpoint}/otlp` })
  add(exchange())
  await flush()
  assert.deepEqual(
    received.map(({ url }) => url),
    ['/otlp', '/otlp'],
  )
})

test('what was added is sent without a flush', async t => {
  const { received, endpoint } = await receiver(t)
  const { add } = exporter(t, { endpoint })
  add(exchange())
  const alive = setInterval(() => {}, 1_000) // the exporter's own timer keeps nothing alive
  t.after(() => clearInterval(alive))
  while (received.length < 2) await new Promise(resolve => setTimeout(resolve, 20))
  assert.equal(spansIn(received[0] as Received).length, 1)
})

test('a batch has at most its records and its bytes', async t => {
  const { received, endpoint } = await receiver(t)
  const { add, flush } = exporter(t, { endpoint })
  const small = exchange({ requestBody: [], responseBody: [] })
  for (let index = 0; index < LIMITS.telemetryBatchRecords + 10; index++) add(small)
  await flush()
  assert.deepEqual(
    received.filter(({ url }) => url === '/v1/traces').map(request => spansIn(request).length),
    [LIMITS.telemetryBatchRecords, 10],
  )
  received.length = 0
  const body = Buffer.alloc(65_536, '"')
  for (let index = 0; index < 40; index++) add(exchange({ responseBody: [body] }))
  await flush()
  const batches = received.filter(({ url }) => url === '/v1/traces').map(request => spansIn(request).length)
  assert.ok(batches.length > 2 && Math.max(...batches) <= 12, `${batches}`)
  assert.equal(
    batches.reduce((sum, batch) => sum + batch),
    40,
  )
})

for (const status of [429, 502, 503, 504]) {
  test(`a ${status} is tried once more`, async t => {
    const { received, endpoint } = await receiver(t, [status])
    const { add, flush, counters, failures } = exporter(t, { endpoint })
    add(exchange())
    await flush()
    assert.deepEqual(
      received.map(({ url }) => url),
      ['/v1/traces', '/v1/traces', '/v1/logs'],
    )
    assert.equal(received[0]?.body, received[1]?.body)
    assert.deepEqual([counters(), failures], [{ recorded: 1, dropped: 0 }, []])
  })
}

test('a failing receiver is said once, without a header value, and its records are counted', async t => {
  const { received, endpoint } = await receiver(t, [400, 200, 500, 500])
  const { add, flush, counters, failures } = exporter(t, { endpoint, headers: { authorization: 'Bearer otlp-secret' } })
  for (let index = 0; index < 2; index++) {
    add(exchange())
    await flush()
  }
  assert.equal(received.length, 4)
  assert.deepEqual(counters(), { recorded: 2, dropped: 2 })
  assert.deepEqual(failures, [`telemetry of 1 requests was not exported: ${new URL(endpoint).host} answered 400`])
})

test('a receiver that is not there is reported, not thrown', async t => {
  const { endpoint } = await receiver(t)
  const gone = endpoint.replace(/\d+$/, '1') // nothing listens on port 1
  const { add, flush, counters, failures } = exporter(t, { endpoint: gone })
  add(exchange())
  await flush()
  assert.deepEqual(counters(), { recorded: 1, dropped: 1 })
  assert.match(failures[0] ?? '', /^telemetry of 1 requests was not exported: .*ECONNREFUSED/)
})

test('past the queue the oldest are dropped and counted, and adding goes on', async t => {
  const targets: string[] = []
  const { add, flush, counters, setTee } = exporter(t, {})
  setTee((signal, payload) => {
    if (signal === 'traces') targets.push(...(payload.match(/"url\.path","value":\{"stringValue":"[^"]+/g) ?? []))
  })
  const one = exchange()
  const extra = 300
  // All in one turn: nothing can be sent meanwhile.
  for (let index = 0; index < LIMITS.telemetryQueueRecords + extra; index++) {
    add({ ...one, target: index < extra ? '/old' : '/new' })
  }
  await flush()
  const { recorded, dropped } = counters()
  assert.equal(recorded, LIMITS.telemetryQueueRecords + extra)
  assert.ok(dropped >= extra && dropped < extra + LIMITS.telemetryBatchRecords, `${dropped}`) // whole batches
  assert.equal(targets.length, recorded - dropped)
  assert.ok(targets.every(target => target.endsWith('/new')))
})

test('the queue is bounded in bytes too', async t => {
  const { add, counters, setTee } = exporter(t, {})
  setTee(() => {})
  const big = exchange({ responseBody: [Buffer.alloc(65_536, '"')] })
  for (let index = 0; index < 1_200; index++) add(big)
  assert.ok(counters().dropped > 100)
})

test('a tee gets every payload, also without an endpoint; without either nothing is kept', async t => {
  const seen: Signal[] = []
  const { add, flush, setTee, counters } = exporter(t, {})
  add(exchange())
  setTee((signal, payload) => {
    assert.ok(JSON.parse(payload))
    seen.push(signal)
  })
  add(exchange())
  await flush()
  assert.deepEqual(seen, ['traces', 'logs'])
  assert.deepEqual(counters(), { recorded: 1, dropped: 0 })
})

test('what is added after close is dropped', async t => {
  const { received, endpoint } = await receiver(t)
  const { add, close, counters } = exporter(t, { endpoint })
  add(exchange())
  await close()
  add(exchange())
  assert.equal(received.length, 2)
  assert.deepEqual(counters(), { recorded: 1, dropped: 1 })
})
