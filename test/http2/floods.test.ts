import assert from 'node:assert/strict'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { serveHttp2 } from '../../src/http2/serve.ts'
import { LIMITS } from '../../src/limits.ts'
import {
  ACK,
  block,
  END_HEADERS,
  END_STREAM,
  type Frame,
  frame,
  PREFACE,
  rawPeer,
  request,
  TYPE,
  uint32,
} from './frames.ts'
import { get, NAME, startHttp2Origin, startRig } from './rig.ts'

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_PROTOCOL_ERROR } = constants

test('rapid reset ends the connection, opens no more upstream than streams, and spares other connections', async t => {
  // T52
  const { rig, requests } = await start(t)
  const other = rig.agent()
  const agent = rawPeer(await rig.dial(), 'client')
  const head = request(NAME, [], '/wait')
  for (let stream = 1; stream < 2 * 1_000; stream += 2) {
    agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, stream, head), frame(TYPE.reset, 0, stream, uint32(8)))
  }
  assert.equal(codeOf(await agent.until(isGoaway)), NGHTTP2_ENHANCE_YOUR_CALM)
  await agent.closed
  assert.ok(requests.length <= LIMITS.http2CancelBurst + LIMITS.http2Streams, `${requests.length} requests`)
  assert.equal((await get(other, {})).body.toString(), 'ok')
  assert.deepEqual(
    rig.audited.map(({ fault }) => fault.code),
    ['CLRK_LIMIT'],
  )
})

for (const [what, one] of [
  ['PING', frame(TYPE.ping, 0, 0, Buffer.alloc(8))],
  ['SETTINGS', frame(TYPE.settings, 0, 0, Buffer.concat([Buffer.from([0, 3]), uint32(100)]))],
] as const) {
  test(`${what} without end ends the connection, also of an agent that reads every answer`, async t => {
    const { rig } = await start(t)
    const agent = rawPeer(await rig.dial(), 'client')
    const many = Buffer.concat(Array.from({ length: 500 }, () => one))
    for (let sent = 500; !agent.frames.some(isGoaway); sent += 500) {
      agent.send(many)
      await agent.until(frame => agent.frames.length >= sent || isGoaway(frame)) // what comes is acknowledgements
    }
    assert.equal(codeOf(await agent.until(isGoaway)), NGHTTP2_ENHANCE_YOUR_CALM)
    await agent.closed
    assert.ok(agent.frames.length >= LIMITS.http2ControlBurst - 1_000)
    assert.equal((await get(rig.agent(), {})).body.toString(), 'ok')
  })

  test(`${what} faster than its answers are read ends the connection`, async t => {
    const { rig } = await start(t)
    const socket = await rig.dial()
    const agent = rawPeer(socket, 'client')
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => one))
    const flood = () => {
      while (!socket.destroyed && socket.write(many));
    }
    socket.on('drain', flood)
    flood()
    assert.notEqual(await agent.until(isGoaway), null)
    await agent.closed
    assert.equal((await get(rig.agent(), {})).body.toString(), 'ok')
  })
}

for (const [what, one] of [
  ['PRIORITY', frame(2, 0, 7, Buffer.alloc(5))],
  ['DATA without a byte', frame(TYPE.data, 0, 1)],
  ['DATA for a stream that the agent has reset', frame(TYPE.data, 0, 3, Buffer.from('x'))],
  ['an acknowledgement of nothing', frame(TYPE.settings, ACK, 0)],
] as const) {
  test(`${what} without end ends the connection`, async t => {
    const { rig } = await start(t)
    const agent = rawPeer(await rig.dial(), 'client')
    for (const id of [1, 3]) agent.send(frame(TYPE.headers, END_HEADERS, id, request(NAME, [], '/wait')))
    agent.send(frame(TYPE.reset, 0, 3, uint32(8)))
    agent.send(...Array.from({ length: 3 * LIMITS.http2ControlBurst }, () => one))
    assert.equal(codeOf(await agent.until(isGoaway)), NGHTTP2_ENHANCE_YOUR_CALM)
    await agent.closed
  })
}

test('an agent that reads no answer is not read either, until it does', async () => {
  const writes: (() => void)[] = []
  let holds = true
  const agent = new Duplex({
    read() {},
    write: (_chunk, _encoding, done) => void (holds ? writes.push(done) : done()),
  })
  let asked = 0
  const all = Promise.withResolvers<void>()
  const large = 'x'.repeat(10_000)
  const count = 400
  const answer = { kind: 'answer', status: 200, reason: '', headers: [['x', large]], body: '', close: false } as const
  serveHttp2(agent, {
    decide: () => {
      asked += 1
      if (asked === count) all.resolve()
      return answer
    },
    failed: () => answer,
    report: error => assert.fail(String(error)),
    opened: () => true,
    closed: () => true,
    control: () => true,
  })
  agent.push(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0)]))
  for (let at = 0; at < count; at++) {
    agent.push(frame(TYPE.headers, END_HEADERS | END_STREAM, 2 * at + 1, request(NAME)))
    await turn()
  }
  assert.ok(asked > 0 && asked * large.length < 2 * LIMITS.http2UnreadBytes, `${asked} answers`)
  holds = false
  for (const done of writes) done()
  await all.promise
  agent.destroy()
})

test('a body past the window resets its stream, and no other', async t => {
  const { rig } = await start(t)
  const agent = rawPeer(await rig.dial(), 'client')
  const body = chunks(Buffer.alloc(65_536), 16_384).map(part => frame(TYPE.data, 0, 1, part))
  agent.send(frame(TYPE.headers, END_HEADERS, 1, request(NAME, [], '/read')), ...body) // before there is an upstream
  assert.equal((await agent.until(isReset(1)))?.payload.readUInt32BE(), constants.NGHTTP2_FLOW_CONTROL_ERROR)
  agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 3, request(NAME)))
  assert.notEqual(await agent.until(({ type, stream }) => type === TYPE.data && stream === 3), null)
})

test('as many PINGs as a client measures its line with are answered', async t => {
  const { rig } = await start(t)
  const agent = rawPeer(await rig.dial(), 'client')
  for (let count = 0; count < 500; count++) agent.send(frame(TYPE.ping, 0, 0, uint32(0, count)))
  const answered = await agent.until(({ type, flags, payload }) => {
    return type === TYPE.ping && flags === ACK && payload.readUInt32BE(4) === 499
  })
  assert.notEqual(answered, null)
})

test('endless CONTINUATION ends the connection', async t => {
  const { rig, requests } = await start(t)
  const agent = rawPeer(await rig.dial(), 'client')
  agent.send(frame(TYPE.headers, END_STREAM, 1, request(NAME)))
  const more = block([['x', 'y'.repeat(4_000)]])
  for (let count = 0; count < 1_000; count++) agent.send(frame(TYPE.continuation, 0, 1, more))
  await agent.closed
  assert.equal(requests.length, 0)
  assert.equal((await get(rig.agent(), {})).body.toString(), 'ok')
})

test('a head of too many fields or bytes is refused on its stream only', async t => {
  const { rig, requests } = await start(t)
  const agent = rawPeer(await rig.dial(), 'client')
  const fields = Array.from({ length: LIMITS.headerFields + 1 }, (_, index) => [`x-${index}`, ''] as const)
  agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, request(NAME, fields)))
  const [first, ...rest] = chunks(request(NAME, [['x', 'y'.repeat(LIMITS.headBytes)]]), 16_000)
  agent.send(frame(TYPE.headers, END_STREAM, 3, first))
  for (const [index, part] of rest.entries()) {
    agent.send(frame(TYPE.continuation, index === rest.length - 1 ? END_HEADERS : 0, 3, part))
  }
  agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 5, request(NAME)))
  for (const [id, why] of [
    [1, /more than 256 header fields/],
    [3, /CLRK_HEAD_TOO_LARGE/],
  ] as const) {
    const refused = await agent.until(({ type, stream }) => type === TYPE.data && stream === id)
    assert.match(String(refused?.payload), why)
  }
  assert.notEqual(await agent.until(({ type, stream }) => type === TYPE.data && stream === 5), null)
  assert.equal(requests.length, 1)
})

for (const [what, field] of [
  ['an upper-case name', ['X-Upper', '1']],
  ['connection', ['connection', 'x-api-key']],
  ['transfer-encoding', ['transfer-encoding', 'chunked']],
  ['te with more than trailers', ['te', 'gzip']],
  ['a second :path', [':path', '/other']],
  ['an unknown pseudo-header', [':own', '1']],
  ['two lengths', ['content-length', '1, 1']],
  ['a Host beside :authority that differs', ['host', 'other.test']],
] as const) {
  test(`a request with ${what} reaches no origin, and the next stream does`, async t => {
    // T05, T26
    const { rig, requests } = await start(t)
    const agent = rawPeer(await rig.dial(), 'client')
    agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, request(NAME, [field])))
    agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 3, request(NAME, [], '/next')))
    const refused = await agent.until(({ type, stream }) => stream === 1 && (type === TYPE.reset || type === TYPE.data))
    assert.notEqual(refused, null)
    if (refused?.type === TYPE.reset) assert.equal(refused.payload.readUInt32BE(), NGHTTP2_PROTOCOL_ERROR)
    else assert.match(String(refused?.payload), /CLRK_HTTP_MALFORMED/)
    assert.notEqual(await agent.until(({ type, stream }) => type === TYPE.data && stream === 3), null)
    assert.deepEqual(requests, ['/next'])
  })
}

for (const [what, field] of [
  ['a line end in a value', ['x-a', '1\r\nx-api-key: sk-foreign']],
  ['a NUL in a value', ['x-a', 'a\0b']],
  ['a line end in a name', ['x-a\r\nx-b', '1']],
] as const) {
  test(`a request that has a field with ${what} reaches no origin, nor any part of it`, async t => {
    // T26
    const { rig, requests } = await start(t)
    const agent = rawPeer(await rig.dial(), 'client')
    agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, request(NAME, [field, ['x-last', '1']])))
    const refused = await agent.until(({ type, stream }) => stream === 1 && (type === TYPE.reset || type === TYPE.data))
    if (refused?.type === TYPE.reset) assert.equal(refused.payload.readUInt32BE(), NGHTTP2_PROTOCOL_ERROR)
    else assert.match(String(refused?.payload), /CLRK_HTTP_MALFORMED/)
    agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 3, request(NAME, [], '/next')))
    assert.notEqual(await agent.until(({ type, stream }) => type === TYPE.data && stream === 3), null)
    assert.deepEqual(requests, ['/next'])
  })
}

test('a body that is shorter or longer than its Content-Length resets its stream, and never looks complete', async t => {
  const { rig, ended } = await start(t)
  const agent = rawPeer(await rig.dial(), 'client')
  const head = request(NAME, [['content-length', '3']], '/read')
  for (const [at, body] of ['ab', 'abcd', ''].entries()) {
    const id = 1 + 2 * at
    agent.send(frame(TYPE.headers, END_HEADERS, id, head), frame(TYPE.data, END_STREAM, id, Buffer.from(body)))
    assert.equal((await agent.until(isReset(id)))?.payload.readUInt32BE(), NGHTTP2_PROTOCOL_ERROR)
  }
  agent.send(frame(TYPE.headers, END_HEADERS | END_STREAM, 7, head))
  assert.equal((await agent.until(isReset(7)))?.payload.readUInt32BE(), NGHTTP2_PROTOCOL_ERROR)
  // Cut off with NO_ERROR.
  agent.send(frame(TYPE.headers, END_HEADERS, 9, head), frame(TYPE.data, 0, 9, Buffer.from('ab')))
  agent.send(frame(TYPE.reset, 0, 9, uint32(0)), frame(TYPE.headers, END_HEADERS | END_STREAM, 11, request(NAME)))
  assert.notEqual(await agent.until(({ type, stream }) => type === TYPE.data && stream === 11), null)
  assert.deepEqual(ended, [])
})

async function start(t: TestContext) {
  const { address, server } = await startHttp2Origin(t)
  const requests: string[] = []
  const ended: string[] = []
  server.on('stream', (stream: ServerHttp2Stream, headers: Headers) => {
    requests.push(headers[':path'] ?? '')
    stream.on('error', () => {})
    stream.on('end', () => {
      if (headers['content-length'] !== undefined && !stream.aborted) ended.push(headers['content-length'])
    })
    stream.resume()
    if (headers[':path'] === '/wait' || headers[':path'] === '/read') return
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  const rig = await startRig(t, address)
  return { rig, requests, ended }
}

type Headers = Readonly<Record<string, string | undefined>>

function chunks(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

function isGoaway({ type }: Frame): boolean {
  return type === TYPE.goaway
}

function isReset(stream: number): (frame: Frame) => boolean {
  return frame => frame.type === TYPE.reset && frame.stream === stream
}

function codeOf(goaway: Frame | null): number | undefined {
  return goaway?.payload.readUInt32BE(4)
}
