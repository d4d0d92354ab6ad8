/**
 * Routes by model, through the proxy that ships: the body decides, the same bytes arrive with the credential, or nothing
 * does. For agents with HTTP/1.1 and with HTTP/2, to origins with HTTP/1.1 and with HTTP/2. T44, T45.
 */
import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { request } from 'node:https'
import test, { type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { LIMITS } from '../../src/limits.ts'
import { AUTHORITY, answered, CANARY, NAME, type Rig, startHttp2Origin, startRig } from '../http2/rig.ts'

type Seen = { method: string; path: string; fields: Record<string, string | undefined>; body: Buffer }
type Said = { status: number; code: string | undefined; body: string }
type Ask = (
  body: Buffer | string | null,
  more?: { path?: string; method?: string; headers?: Record<string, string> },
) => Promise<Said>

const MODELS = ', models: [cheap, "small-*"]'
const GOOD = '{"messages":[{"role":"user","content":"hi"}], "model":"cheap"}'

/** An origin that records what it gets; `http1`: it speaks nothing else. */
async function startOrigin(t: TestContext, http1: boolean): Promise<{ address: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const { address, server } = await startHttp2Origin(t, http1 ? { allowHTTP1: true, ALPNProtocols: ['http/1.1'] } : {})
  server.on(
    'request',
    async (asked: IncomingMessage & Http2ServerRequest, answer: ServerResponse & Http2ServerResponse) => {
      const chunks: Buffer[] = []
      for await (const chunk of asked) chunks.push(chunk)
      const fields = asked.headers as Seen['fields']
      seen.push({ method: asked.method ?? '', path: asked.url ?? '', fields, body: Buffer.concat(chunks) })
      answer.writeHead(200, { 'content-type': 'application/json' })
      answer.end('{}')
    },
  )
  return { address, seen }
}

function http2Agent(rig: Rig): Ask {
  const session = rig.agent()
  return async (body, { path = '/v1/chat', method = 'POST', headers = {} } = {}) => {
    const fields = { ':path': path, ':method': method, 'content-type': 'application/json', ...headers }
    const stream = session.request(fields, { endStream: body === null })
    const whole = answered(stream)
    if (body !== null) stream.end(body)
    const { headers: said, body: bytes } = await whole
    return { status: said[':status'] ?? 0, code: said['x-clrk-code'] as string | undefined, body: bytes.toString() }
  }
}

function http1Agent(rig: Rig, chunked = false): Ask {
  return (body, { path = '/v1/chat', method = 'POST', headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const length = chunked || body === null ? {} : { 'content-length': Buffer.byteLength(body) }
      const asked = request({
        ...{
          host: '127.0.0.1',
          port: rig.port,
          servername: NAME,
          ca: AUTHORITY.certificate,
          path,
          method,
          agent: false,
        },
        headers: { host: NAME, 'content-type': 'application/json', ...length, ...headers },
      })
      asked.on('error', reject)
      asked.on('response', async answer => {
        const chunks: Buffer[] = []
        for await (const chunk of answer) chunks.push(chunk)
        const code = answer.headers['x-clrk-code'] as string | undefined
        resolve({ status: answer.statusCode ?? 0, code, body: Buffer.concat(chunks).toString() })
      })
      if (body === null) return void asked.end()
      const bytes = Buffer.from(body)
      if (chunked) asked.write(bytes.subarray(0, 7))
      asked.end(chunked ? bytes.subarray(7) : bytes)
    })
}

const AGENTS: readonly (readonly [string, (rig: Rig) => Ask])[] = [
  ['HTTP/1.1', rig => http1Agent(rig)],
  ['HTTP/1.1, chunked', rig => http1Agent(rig, true)],
  ['HTTP/2', http2Agent],
]

for (const [protocol, agent] of AGENTS) {
  for (const http1 of protocol === 'HTTP/2' ? [true, false] : [true]) {
    test(`${protocol} to an origin with ${http1 ? 'HTTP/1.1' : 'HTTP/2'}: a named model arrives as it was sent`, async t => {
      const { address, seen } = await startOrigin(t, http1)
      const rig = await startRig(t, address, '', MODELS)
      const ask = agent(rig)
      const large = `{"model":"small-1","x":"${'y'.repeat(3_000_000)}"}`
      for (const body of [GOOD, large]) assert.equal((await ask(body)).status, 200)
      assert.deepEqual(
        seen.map(({ method, path, fields }) => [method, path, fields['x-api-key']]),
        [1, 2].map(() => ['POST', '/v1/chat', CANARY]),
      )
      for (const [at, body] of [GOOD, large].entries()) assert.ok(seen[at]?.body.equals(Buffer.from(body)))
    })
  }

  test(`${protocol}: another model is a 403 that names it and the YAML, and nothing is sent`, async t => {
    const { address, seen } = await startOrigin(t, true)
    const rig = await startRig(t, address, '', MODELS)
    const ask = agent(rig)
    for (let round = 0; round < 2; round++) {
      const { status, code, body } = await ask('{"model":"dear"}')
      const problem = JSON.parse(body)
      assert.deepEqual([status, code], [403, 'CLRK_MODEL_NOT_ALLOWED'])
      assert.match(problem.detail, /model dear on \/v1\/chat/)
      assert.match(problem.yaml, /models: \["dear"\]/)
      assert.equal(seen.length, round)
      assert.equal((await ask(GOOD)).status, 200) // what was decided for one body is not decided for the next
    }
    assert.deepEqual(
      rig.audited.map(({ fault, action }) => [action, fault.code]),
      [['denied', 'CLRK_MODEL_NOT_ALLOWED']], // the second within a minute is the same line
    )
    assert.deepEqual([rig.counters.requests, rig.counters.denied, rig.counters.injected], [4, 2, 2])
  })

  test(`${protocol}: what says no model clearly is a 400, and nothing is sent (T44, T45)`, async t => {
    const { address, seen } = await startOrigin(t, true)
    const rig = await startRig(t, address, '', MODELS)
    const ask = agent(rig)
    const type = (value: string) => ({ headers: { 'content-type': value } })
    for (const [asked, reason] of [
      [ask('{"model":"cheap","model":"dear"}'), /it has "model" twice/],
      [ask('{"model":"cheap","Model":"dear"}'), /it has "model" twice/],
      [ask('{"model":7}'), /"model" is not a string/],
      [ask('{"messages":[]}'), /it has no "model"/],
      [ask('{"model":"cheap"'), /it is not well-formed JSON/],
      [ask(''), /it is empty/],
      [ask(null, { method: 'GET', path: '/v1/models' }), /it is empty/],
      [ask(gzipSync('{"model":"cheap"}'), { headers: { 'content-encoding': 'gzip' } }), /Content-Encoding/],
      [ask(GOOD, { headers: { content_encoding: 'gzip' } }), /Content-Encoding/],
      [ask(GOOD, { path: '/v1/chat?a=1&%6dodel=dear' }), /its query has a "model" of its own/],
      [ask(GOOD, type('application/x-www-form-urlencoded')), /its Content-Type is not/],
      [ask(GOOD, type('application/json; charset=utf-7')), /its Content-Type is not/],
      [ask(GOOD, { headers: { content_type: 'multipart/form-data' } }), /more than one Content-Type/],
    ] as const) {
      const { status, code, body } = await asked
      assert.deepEqual([status, code], [400, 'CLRK_MODEL_UNREADABLE'], body)
      assert.match(JSON.parse(body).detail, reason)
    }
    assert.equal((await ask(GOOD, type('application/json; charset=UTF-8'))).status, 200)
    assert.equal(seen.length, 1)
  })

  test(`${protocol}: under allow-all it goes on, without a credential`, async t => {
    const { address, seen } = await startOrigin(t, true)
    const rig = await startRig(t, address, ', defaultPolicy: allow-all', MODELS)
    const ask = agent(rig)
    const own = { headers: { 'x-api-key': 'sk-own' } }
    const gzipped = gzipSync('{"model":"cheap"}')
    assert.equal((await ask('{"model":"dear"}', own)).status, 200)
    assert.equal((await ask(gzipped, { headers: { ...own.headers, 'content-encoding': 'gzip' } })).status, 200)
    assert.equal((await ask(GOOD, own)).status, 200)
    assert.deepEqual(
      seen.map(({ fields }) => fields['x-api-key']),
      [undefined, undefined, CANARY],
    )
    assert.ok(seen[1]?.body.equals(gzipped))
  })

  test(`${protocol}: past the limit it is a 413, up to it not`, async t => {
    const { address, seen } = await startOrigin(t, true)
    const rig = await startRig(t, address, '', MODELS)
    const ask = agent(rig)
    const overhead = protocol.includes('chunked') ? 2_000_000 : 0
    const size = LIMITS.modelBodyBytes - overhead
    const body = (bytes: number) => Buffer.concat([Buffer.from('{"model":"cheap"}'), Buffer.alloc(bytes - 17, ' ')])
    const { status, code } = await ask(body(LIMITS.modelBodyBytes + 1)).catch(early)
    assert.ok(status === 0 || (status === 413 && code === 'CLRK_BODY_TOO_LARGE'), `${status} ${code}`)
    assert.equal(seen.length, 0)
    assert.equal((await ask(body(size))).status, 200)
    assert.equal(seen[0]?.body.length, size)
  })
}

/** A client may see its connection end while it still sends. */
function early(error: NodeJS.ErrnoException): Said {
  assert.match(error.code ?? '', /^(EPIPE|ECONNRESET)$/)
  return { status: 0, code: undefined, body: '' }
}

test('HTTP/2: who expects 100-continue is asked by us, and the origin is not expected to', async t => {
  const { address, seen } = await startOrigin(t, false)
  const rig = await startRig(t, address, '', MODELS)
  const headers = { ':method': 'POST', ':path': '/v1/chat', 'content-type': 'application/json', expect: '100-continue' }
  const stream = rig.agent().request(headers)
  const interim: unknown[] = []
  stream.on('headers', said => {
    interim.push(said[':status'])
    stream.end(GOOD)
  })
  assert.equal((await answered(stream)).headers[':status'], 200)
  assert.deepEqual(interim, [100])
  assert.deepEqual([seen[0]?.fields.expect, seen[0]?.body.toString()], [undefined, GOOD])
})

test('all bodies that wait in a sandbox have one bound, and give their room back', async t => {
  const { address, seen } = await startOrigin(t, true)
  const rig = await startRig(t, address, '', MODELS)
  const headers = { ':method': 'POST', ':path': '/v1/chat', 'content-type': 'application/json' }
  const part = Buffer.alloc(LIMITS.modelBodyBytes - 1_000_000, ' ')
  const waiting = [0, 1, 2].map(() => {
    const stream = rig.agent().request(headers)
    stream.write('{"model":"cheap"}')
    stream.write(part)
    const whole = answered(stream)
    return { stream, whole }
  })
  const first = await Promise.race(waiting.map(async ({ whole }, at) => ({ at, answer: await whole })))
  assert.deepEqual([first.answer.headers[':status'], first.answer.headers['x-clrk-code']], [429, 'CLRK_LIMIT'])
  const rest = waiting.filter((_, at) => at !== first.at)
  for (const { stream } of rest) stream.end()
  for (const { whole } of rest) assert.equal((await whole).headers[':status'], 200)
  const ask = http1Agent(rig)
  for (let round = 0; round < 3; round++) {
    const body = Buffer.concat([Buffer.from('{"model":"cheap"}'), part])
    assert.equal((await ask(body)).status, 200)
    const refused = await ask(Buffer.concat([Buffer.from('{"model":"dear"}'), part]))
    assert.equal(refused.status, 403)
  }
  assert.equal(seen.length, 5)
})

test('a policy that changes while the body comes decides about it', async t => {
  const { address, seen } = await startOrigin(t, true)
  const rig = await startRig(t, address, '', MODELS)
  const headers = { ':method': 'POST', ':path': '/v1/chat', 'content-type': 'application/json' }
  const stream = rig.agent().request(headers)
  stream.write('{"model":')
  while (rig.counters.requests === 0) await new Promise(setImmediate)
  rig.changePolicy('enforcement: audit')
  stream.end('"dear"}')
  assert.equal((await answered(stream)).headers[':status'], 200)
  assert.equal(seen[0]?.fields['x-api-key'], undefined)
  assert.deepEqual(
    rig.audited.map(({ action, fault }) => [action, fault.code]),
    [['would-deny', 'CLRK_MODEL_NOT_ALLOWED']],
  )
})
