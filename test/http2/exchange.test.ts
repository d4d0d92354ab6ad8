import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import { createServer } from 'node:https'
import { type TestContext, test } from 'node:test'
import { LIMITS } from '../../src/limits.ts'
import { AUTHORITY, answered, CANARY, get, NAME, startHttp2Origin, startRig } from './rig.ts'

test('h2 to h2: fields in order, twice and as bytes; the credential is set whatever the agent sent', async t => {
  const { address, server } = await startHttp2Origin(t)
  const seen: (readonly string[])[] = []
  server.on('stream', (stream: ServerHttp2Stream, _headers: object, _flags: number, raw: string[]) => {
    seen.push(raw)
    stream.respond([':status', '200', 'x-b', '1', 'set-cookie', 'b', 'x-a', '\xff', 'set-cookie', 'a'])
    stream.end('hello')
  })
  const rig = await startRig(t, address)
  const answer = await get(rig.agent(), {
    ':path': '/v1/x?y=1',
    'x-b': ['1', '2'],
    'x-a': '\xe9',
    te: 'trailers',
    'x-api-key': 'sk-foreign',
    x_api_key: 'sk-foreign',
    authorization: 'Bearer sk-foreign',
    cookie: ['a=1', 'b=2'],
  })
  assert.equal(answer.body.toString(), 'hello')
  assert.equal(answer.code, 0)
  assert.deepEqual(answer.raw.slice(0, 10), [
    ':status',
    '200',
    'x-b',
    '1',
    'set-cookie',
    'b',
    'x-a',
    '\xff',
    'set-cookie',
    'a',
  ])
  assert.deepEqual(seen, [
    [':method', 'GET', ':scheme', 'https', ':authority', `${NAME}:443`, ':path', '/v1/x?y=1'].concat([
      'x-b',
      '1',
      'x-b',
      '2',
      'x-a',
      '\xe9',
      'accept-encoding',
      'identity',
      'x-api-key',
      CANARY,
      'te',
      'trailers',
    ]),
  ])
  assert.equal(rig.counters.injected, 1)
  assert.equal(rig.audited.find(line => line.action === 'stripped')?.fault.code, 'CLRK_FOREIGN_CREDENTIAL')
})

for (const protocol of ['h2', 'http/1.1'] as const) {
  test(`bodies and trailers both ways, forbidden trailers dropped (origin: ${protocol})`, async t => {
    const origin = await startOrigin(t, protocol)
    const rig = await startRig(t, origin.address)
    const stream = rig
      .agent()
      .request({ ':method': 'POST', ':path': '/echo', trailer: 'x-sum' }, { waitForTrailers: true })
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'x-sum': '7', x_api_key: 'sk-foreign', 'x-api-key': 'sk-foreign' }),
    )
    stream.write('one ')
    stream.end('two')
    const answer = await answered(stream)
    assert.equal(answer.headers[':status'], 200)
    assert.equal(answer.body.toString(), 'one two')
    assert.deepEqual(Object.fromEntries(Object.entries(answer.trailers ?? {})), { 'x-got': '{"x-sum":"7"}' })
    assert.equal(origin.requests[0]?.['x-api-key'], CANARY)
    assert.equal(origin.protocols[0], protocol === 'h2' ? '2.0' : '1.1')
  })

  test(`HEAD, 204, 304 and an empty POST (origin: ${protocol})`, async t => {
    const origin = await startOrigin(t, protocol)
    const rig = await startRig(t, origin.address)
    const agent = rig.agent()
    const head = await get(agent, { ':method': 'HEAD', ':path': '/length' })
    assert.deepEqual([head.headers[':status'], head.headers['content-length'], head.body.length], [200, '1000', 0])
    for (const status of [204, 304]) {
      const { headers, body, code } = await get(agent, { ':path': `/${status}` })
      assert.deepEqual([headers[':status'], body.length, code], [status, 0, 0])
    }
    const { body } = await get(agent, { ':method': 'POST', ':path': '/echo' })
    assert.equal(body.toString(), '')
  })

  test(`interim answers pass, and 100-continue is the origin's to say (origin: ${protocol})`, async t => {
    const origin = await startOrigin(t, protocol)
    const rig = await startRig(t, origin.address)
    const stream = rig.agent().request({ ':method': 'POST', ':path': '/hints', expect: '100-continue' })
    const interim: unknown[] = []
    stream.on('headers', headers => {
      interim.push(headers[':status'])
      if (headers[':status'] === 100) stream.end('body')
    })
    const answer = await answered(stream)
    assert.deepEqual(interim, [103, 100])
    assert.equal(answer.body.toString(), 'body')
  })

  test(`an early response is delivered and the request is stopped without an error (origin: ${protocol})`, async t => {
    const origin = await startOrigin(t, protocol)
    const rig = await startRig(t, origin.address)
    const stream = rig.agent().request({ ':method': 'POST', ':path': '/early' })
    stream.write('part')
    const answer = await answered(stream)
    assert.deepEqual([answer.headers[':status'], answer.body.toString(), answer.code], [413, 'no', 0])
  })

  test(`many streams at once over few connections, each with its own answer (origin: ${protocol})`, async t => {
    const origin = await startOrigin(t, protocol)
    const rig = await startRig(t, origin.address)
    const agent = rig.agent()
    const count = LIMITS.http2StreamsPerSandbox + 100
    const bodies = Array.from({ length: count }, (_, index) => `${index} `.repeat(index % 100))
    const answers = await Promise.all(
      bodies.map(body => get(agent, { ':method': 'POST', ':path': '/echo', 'content-length': `${body.length}` }, body)),
    )
    assert.deepEqual(
      answers.map(({ body }) => body.toString()),
      bodies,
    )
    if (protocol === 'h2') assert.ok(origin.connections() <= 8, `${origin.connections()} connections`)
  })
}

test('what is denied is explained on its stream, and the others go on', async t => {
  const origin = await startOrigin(t, 'h2')
  const rig = await startRig(t, origin.address)
  const agent = rig.agent()
  const open = agent.request({ ':method': 'POST', ':path': '/echo' })
  open.write('still ')
  const [mismatch, differing, plain, trace] = await Promise.all([
    get(agent, { ':authority': 'other.test' }),
    get(agent, { ':authority': NAME, host: 'other.test' }),
    get(agent, { ':scheme': 'http' }),
    get(agent, { ':method': 'TRACE' }),
  ])
  assert.deepEqual(
    [mismatch, differing, plain, trace].map(({ headers }) => [headers[':status'], headers['x-clrk-code']]),
    [
      [421, 'CLRK_AUTHORITY_MISMATCH'],
      [400, 'CLRK_HTTP_MALFORMED'],
      [400, 'CLRK_HTTP_MALFORMED'],
      [405, 'CLRK_METHOD_NOT_ALLOWED'],
    ],
  )
  assert.equal(mismatch.headers['content-type'], 'application/problem+json')
  assert.match(JSON.parse(mismatch.body.toString()).detail ?? mismatch.body.toString(), /other\.test/)
  open.end('open')
  assert.equal((await answered(open)).body.toString(), 'still open')
  assert.deepEqual(origin.requests.length, 1)
  assert.equal((await get(agent, { ':authority': NAME, host: NAME.toUpperCase() })).headers[':status'], 404)
})

test('a client that offers http/1.1 gets it, one that offers h2 alone gets h2', async t => {
  const origin = await startOrigin(t, 'http/1.1')
  const rig = await startRig(t, origin.address)
  const offers = [['h2'], ['h2', 'http/1.1'], ['http/1.1'], []]
  const chosen = await Promise.all(offers.map(async alpn => (await rig.dial(alpn)).alpnProtocol))
  assert.deepEqual(chosen, ['h2', 'http/1.1', 'http/1.1', false])
})

test('each exchange is recorded once, with its head as lines and without the credential', async t => {
  const origin = await startOrigin(t, 'h2')
  const rig = await startRig(t, origin.address)
  const agent = rig.agent()
  await get(agent, { ':method': 'POST', ':path': '/echo', 'x-mine': 'yes' }, 'hello')
  await get(agent, { ':authority': 'other.test' })
  const spans = await rig.spans()
  const [first] = spans
  const attribute = (key: string) => Object.values(first?.attributes.find(a => a.key === key)?.value ?? {})[0]
  assert.equal(spans.length, 2)
  assert.deepEqual(['http.response.status_code', 'clrk.req.bytes', 'clrk.resp.bytes'].map(attribute), ['200', '5', '5'])
  assert.match(JSON.stringify(first?.events), /http\.request\.header\.x-mine/)
  assert.doesNotMatch(JSON.stringify(spans), new RegExp(CANARY))
})

/** One origin, in either protocol: /echo, /length, /204, /304, /hints, /early; 404 for the rest. */
async function startOrigin(t: TestContext, protocol: 'h2' | 'http/1.1') {
  const requests: IncomingMessage['headers'][] = []
  const protocols: string[] = []
  let connections = 0
  const respond = async (request: IncomingMessage, response: ServerResponse) => {
    requests.push(request.headers)
    protocols.push(request.httpVersion)
    const { url = '' } = request
    if (url === '/length') return void response.writeHead(200, { 'content-length': 1000 }).end()
    if (url === '/204' || url === '/304') return void response.writeHead(Number(url.slice(1))).end()
    if (url === '/early') return void response.writeHead(413, { 'content-length': 2 }).end('no')
    if (url === '/hints') {
      response.writeEarlyHints({ link: '</a>; rel=preload' })
      response.writeContinue()
    } else if (url !== '/echo') return void response.writeHead(404).end()
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    response.setHeader('trailer', 'x-got')
    response.write(Buffer.concat(chunks))
    response.addTrailers({ 'x-got': JSON.stringify(request.trailers) })
    response.end()
  }
  const listener = (request: unknown, response: unknown) =>
    void respond(request as IncomingMessage, response as ServerResponse).catch(() => {})
  if (protocol === 'h2') {
    const { address, server, sessions } = await startHttp2Origin(t)
    server.on('request', listener).on('checkContinue', listener)
    return { address, requests, protocols, connections: () => sessions.length }
  }
  const server = createServer(AUTHORITY.leaf(NAME), listener).on('checkContinue', listener)
  server.on('connection', () => {
    connections += 1
  })
  const address = `127.21.${process.pid % 250}.${++last}`
  server.listen(443, address)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { address, requests, protocols, connections: () => connections }
}

let last = 1
