/** One exchange becomes one span and one log record, with the contract's names. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { createRecorder } from '../../src/telemetry/record.ts'
import { createRedactor } from '../../src/telemetry/redact.ts'
import { CAPTURE, type Changes, exchange, REQUEST, RESPONSE } from './exchange.ts'

/** OTLP/JSON, as far as these tests look. */
type Pairs = readonly { readonly key: string; readonly value: Readonly<Record<string, string | boolean>> }[]
type Span = {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes: Pairs
  readonly events: readonly { readonly name: string; readonly attributes: Pairs }[]
  readonly status?: { readonly message: string }
}
type Log = {
  readonly severityText: string
  readonly body: { readonly stringValue: string }
  readonly attributes: Pairs
}

function record(changes: Changes = {}) {
  return read(createRecorder(createRedactor([])).record(exchange(changes)))
}

function read(recorded: { readonly span: string; readonly log: string }) {
  const span: Span = JSON.parse(recorded.span)
  const { severityText: severity, body, attributes: pairs }: Log = JSON.parse(recorded.log)
  const event = (name: string) => attributesOf(span.events.find(({ name: found }) => found === name)?.attributes)
  return {
    span: { ...span, parentSpanId: span.parentSpanId ?? null, failure: span.status?.message ?? null },
    log: { severity, body: body.stringValue, attributes: attributesOf(pairs) },
    attributes: attributesOf(span.attributes) ?? {},
    event,
  }
}

function attributesOf(pairs: Pairs | undefined): Record<string, string | number | boolean> | null {
  if (pairs === undefined) return null
  return Object.fromEntries(
    pairs.map(({ key, value: { stringValue, boolValue, intValue } }) => [
      key,
      intValue === undefined ? (stringValue ?? boolValue ?? '') : Number(intValue),
    ]),
  )
}

test('a call of a provider says what was asked, answered and used', () => {
  const { span, log, attributes, event } = record()
  assert.deepEqual(attributes, {
    'agent.kind': 'TaskAgent',
    'agent.namespace': 'default',
    'agent.name': 'echo-bot',
    'clrk.sandbox.id': 'echo-bot-1',
    'http.request.method': 'POST',
    'server.address': 'api.anthropic.com',
    'server.port': 443,
    'url.scheme': 'https',
    'url.path': '/v1/messages',
    'url.full': 'https://api.anthropic.com/v1/messages',
    'clrk.req.bytes': REQUEST.length,
    'clrk.resp.bytes': RESPONSE.length,
    'clrk.req.truncated': false,
    'clrk.resp.truncated': false,
    'clrk.resp.chunks': 1,
    'clrk.duration_ms': 12,
    'clrk.aiproviderroute.matched': true,
    'clrk.aiproviderroute.namespace': 'default',
    'clrk.aiproviderroute.name': 'anthropic',
    'clrk.egress.rule': 'default/anthropic/0/0',
    'http.response.status_code': 200,
    'gen_ai.response.stream': false,
    'clrk.body.usage_visible': true,
    'gen_ai.system': 'anthropic',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'claude-sonnet-4-5',
    'gen_ai.response.model': 'claude-sonnet-4-5-20250929',
    'gen_ai.usage.input_tokens': 8,
    'gen_ai.usage.output_tokens': 12,
  })
  assert.equal(span.name, 'chat claude-sonnet-4-5')
  assert.equal(span.failure, null)
  assert.match(`${span.traceId} ${span.spanId} ${span.parentSpanId}`, /^[0-9a-f]{32} [0-9a-f]{16} null$/)
  assert.deepEqual(event('http.request.headers'), {
    'http.request.header.x-api-key': '[redacted]',
    'http.request.header.host': 'api.anthropic.com',
    'http.request.header.content-type': 'application/json',
    'http.request.header.user-agent': 'test/1',
  })
  assert.deepEqual(event('http.response.headers'), {
    'http.response.header.content-type': 'application/json',
    'http.response.header.request-id': 'req_1',
  })
  assert.deepEqual(event('http.request.body'), {
    'clrk.body.bytes': REQUEST.length,
    'clrk.body.truncated': false,
    'clrk.body.b64': Buffer.from(REQUEST).toString('base64'),
  })
  assert.equal(event('http.response.body')?.['clrk.body.b64'], Buffer.from(RESPONSE).toString('base64'))
  assert.equal(log.severity, 'INFO')
  assert.equal(
    log.body,
    `POST api.anthropic.com/v1/messages 200 12ms req=${REQUEST.length}B resp=${RESPONSE.length}B provider=anthropic model=claude-sonnet-4-5 tokens=8/12 route=default/anthropic`,
  )
})

test('what one exchange says does not stay for the next one of its connection', () => {
  const { record: next } = createRecorder(createRedactor([]))
  const heads = ['Host: h\r\nX-A: 1\r\n', 'Host: h\r\nX-A: 2\r\n']
  const all = [
    exchange({ requestHead: heads[0] ?? '' }),
    exchange({ requestHead: heads[1] ?? '' }),
    exchange({ requestHead: heads[1] ?? '', target: '/v1/complete?b=1' }),
    exchange({ requestHead: heads[1] ?? '', target: '/v1/complete?b=1', method: 'GET' }),
    exchange({ requestHead: heads[1] ?? '', target: '/v1/complete?b=1', method: 'GET', injected: ['X-A'] }),
    exchange({ requestHead: heads[0] ?? '', responseHead: 'X-B: 1\r\n' }),
    exchange({ requestHead: heads[0] ?? '', responseHead: 'X-B: 2\r\n', status: 500 }),
    exchange({ requestHead: heads[0] ?? '', responseHead: '', responseBody: [], status: 0 }),
    exchange({ name: 'api.openai.com', provider: 'openai', route: null }),
    exchange(),
  ]
  for (const one of all) {
    const together = read(next(one))
    const alone = read(createRecorder(createRedactor([])).record(one))
    assert.deepEqual(together.attributes, alone.attributes)
    assert.deepEqual(together.span.events, alone.span.events)
    assert.deepEqual(
      [together.span.name, together.span.failure, together.log],
      [alone.span.name, alone.span.failure, alone.log],
    )
  }
})

test('a log record says in attributes who asked and what came of it, the rest on its line', () => {
  const { log } = record()
  assert.deepEqual(log.attributes, {
    'agent.kind': 'TaskAgent',
    'agent.namespace': 'default',
    'agent.name': 'echo-bot',
    'clrk.sandbox.id': 'echo-bot-1',
    'http.response.status_code': 200,
  })
  assert.equal(
    record({ status: 403, error: { code: 'CLRK_LIMIT', details: {} } }).log.attributes?.['error.type'],
    'CLRK_LIMIT',
  )
})

test('an injected header is there although the agent did not send it', () => {
  const { event } = record({ requestHead: 'Host: h\r\n', injected: ['X-Goog-Api-Key'] })
  assert.deepEqual(event('http.request.headers'), {
    'http.request.header.x-goog-api-key': '[redacted]',
    'http.request.header.host': 'h',
  })
})

test('headers that carry credentials show no value, whoever set them', () => {
  const { event } = record({
    requestHead: 'Authorization: Bearer foreign\r\nX_Api_Key: foreign\r\nCookie: a=foreign\r\n',
    responseHead: 'Set-Cookie: a=foreign\r\nSet-Cookie: b=foreign\r\n',
    injected: ['authorization'],
  })
  assert.deepEqual(event('http.request.headers'), {
    'http.request.header.authorization': '[redacted]',
    'http.request.header.x_api_key': '[redacted]',
    'http.request.header.cookie': '[redacted]',
  })
  assert.deepEqual(event('http.response.headers'), { 'http.response.header.set-cookie': '[redacted]' })
})

test('a request line, repeated fields and odd lines do no harm', () => {
  const { event } = record({
    requestHead: 'POST http://h:80/x HTTP/1.1\r\nVia: a\r\nvia:b\r\n: c\r\nnothing\r\nReferer: /p?key=1&b=2\r\n\r\n',
    injected: [],
  })
  assert.deepEqual(event('http.request.headers'), {
    'http.request.header.via': 'a, b',
    'http.request.header.referer': '/p?key=[redacted]&b=2',
  })
})

test('usage of a stream is seen with the capture off', () => {
  const { attributes, event } = record({
    capture: null,
    responseHead: 'content-type: text/event-stream; charset=utf-8\r\n',
    responseBody: [
      Buffer.from('data: {"type":"message_start","message":{"usage":{"input_tokens":25}}}\n\ndata: {"usage":{"out'),
      Buffer.from('put_tokens":15}}\n\n'),
    ],
  })
  assert.equal(attributes['gen_ai.response.stream'], true)
  assert.equal(attributes['gen_ai.usage.input_tokens'], 25)
  assert.equal(attributes['gen_ai.usage.output_tokens'], 15)
  assert.equal(event('http.response.body'), null)
})

for (const [encoding, compress] of [
  ['gzip', gzipSync],
  ['br', brotliCompressSync],
] as const) {
  test(`a ${encoding} answer is shown and counted decoded, its bytes as on the wire`, () => {
    const wire = compress(Buffer.from(RESPONSE))
    const { attributes, event } = record({
      responseHead: `content-type: application/json\r\ncontent-encoding: ${encoding}\r\n`,
      responseBody: [wire.subarray(0, 10), wire.subarray(10)],
    })
    assert.equal(attributes['gen_ai.usage.output_tokens'], 12)
    assert.deepEqual(event('http.response.body'), {
      'clrk.body.bytes': wire.length,
      'clrk.body.truncated': false,
      'clrk.body.content_encoding': encoding,
      'clrk.body.b64': Buffer.from(RESPONSE).toString('base64'),
    })
  })
}

test('a compressed stream that was kept whole shows its usage', () => {
  const events =
    'data: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\r\n\r\ndata: {"usage":{"output_tokens":4}}\r\n\r\n'
  const { attributes } = record({
    responseHead: 'content-type: text/event-stream\r\ncontent-encoding: gzip\r\n',
    responseBody: [gzipSync(Buffer.from(events))],
  })
  assert.equal(attributes['gen_ai.usage.input_tokens'], 3)
  assert.equal(attributes['gen_ai.usage.output_tokens'], 4)
})

test('compressed bytes that cannot be looked into are never shown', () => {
  const wire = gzipSync(Buffer.from(RESPONSE.repeat(9)))
  for (const [capture, body] of [
    [{ ...CAPTURE, maxBytes: 30 }, wire],
    [CAPTURE, wire.subarray(0, 30)],
  ] as const) {
    const { event } = record({
      capture,
      responseHead: 'content-type: application/json\r\ncontent-encoding: gzip\r\n',
      responseBody: [body],
    })
    assert.equal(event('http.response.body')?.['clrk.body.b64'], undefined)
    assert.equal(event('http.response.body')?.['clrk.body.content_encoding'], 'gzip')
  }
})

test('decoded content is held to 64 KiB', () => {
  const { event } = record({
    responseHead: 'content-type: application/json\r\ncontent-encoding: gzip\r\n',
    responseBody: [gzipSync(Buffer.from(RESPONSE.repeat(600)))],
  })
  const shown = Buffer.from(String(event('http.response.body')?.['clrk.body.b64']), 'base64')
  assert.equal(shown.length, 65_536)
  assert.equal(event('http.response.body')?.['clrk.body.truncated'], true)
})

for (const [what, changes, name, failure, severity] of [
  ['an answer of 404', { status: 404 }, 'chat claude-sonnet-4-5', 'HTTP 404', 'WARN'],
  ['an answer of 529', { status: 529 }, 'chat claude-sonnet-4-5', 'HTTP 529', 'ERROR'],
  ['no answer', { status: 0, provider: null, route: null, method: 'GET' }, 'GET api.anthropic.com', 'HTTP 0', 'WARN'],
  [
    'a denial',
    {
      status: 403,
      provider: null,
      error: {
        code: 'CLRK_PLAIN_HTTP_NOT_ALLOWED',
        details: { gateway: 'default/g', name: 'api.anthropic.com', port: 80 },
      },
    },
    'POST api.anthropic.com',
    'CLRK_PLAIN_HTTP_NOT_ALLOWED: No EgressL4Route of EgressGateway default/g allows api.anthropic.com on port 80 in the clear.',
    'WARN',
  ],
] as const) {
  test(`${what} is an error of its span`, () => {
    const { span, log, attributes } = record(changes)
    assert.deepEqual([span.name, span.failure, log.severity], [name, failure, severity])
    assert.equal(attributes['http.response.status_code'], changes.status === 0 ? undefined : changes.status)
    assert.equal(attributes['error.type'], 'error' in changes ? changes.error.code : undefined)
    assert.equal(attributes['clrk.egress.deny_reason'], 'error' in changes ? 'policy' : undefined)
  })
}

test("the agent's traceparent is the parent where it is valid", () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  const parent = '00f067aa0ba902b7'
  for (const valid of [`00-${trace}-${parent}-01`, `01-${trace}-${parent}-01-more`, `cc-${trace}-${parent}-00`]) {
    const { span } = record({ traceparent: valid })
    assert.deepEqual([span.traceId, span.parentSpanId], [trace, parent])
  }
  for (const invalid of [
    '',
    `00-${trace}-${parent}-01-more`,
    `ff-${trace}-${parent}-01`,
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${parent}-01`,
    `00-${trace}-${parent}-01\r\nx`,
  ]) {
    const { span } = record({ traceparent: invalid })
    assert.notEqual(span.traceId, trace)
    assert.equal(span.parentSpanId, null)
  }
})

test('ids differ from span to span', () => {
  const seen = new Set(Array.from({ length: 2_000 }, () => record().span.spanId))
  assert.equal(seen.size, 2_000)
})

test('another port stands in the URL, a query without secrets too', () => {
  const { attributes } = record({ port: 8443, target: '/v1/x?page=2&key=abc', scheme: 'http' })
  assert.equal(attributes['url.full'], 'http://api.anthropic.com:8443/v1/x?page=2&key=[redacted]')
  assert.equal(attributes['url.path'], '/v1/x')
})
