import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createServer as createTlsServer, type Server, type TLSSocket } from 'node:tls'
import { END_HEADERS, END_STREAM, frame, type RawPeer, rawPeer, request, TYPE, uint32 } from './frames.ts'
import { AUTHORITY, answered, get, NAME, startHttp2Origin, startRig } from './rig.ts'

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM } = constants

test('an agent that resets its stream cancels the upstream at once, and no other stream', async t => {
  const { rig, next } = await start(t)
  const agent = rig.agent()
  const doomed = agent.request({ ':method': 'POST', ':path': '/doomed' }).on('error', () => {})
  const upstream = await next()
  const other = agent.request({ ':method': 'POST', ':path': '/other' })
  const spared = await next()
  doomed.close(NGHTTP2_CANCEL)
  await once(upstream, 'close')
  assert.equal(upstream.rstCode, NGHTTP2_CANCEL)
  spared.respond({ ':status': 200 })
  spared.end('fine')
  other.end()
  assert.equal((await answered(other)).body.toString(), 'fine')
  const aborted = (await rig.spans()).find(({ attributes }) => JSON.stringify(attributes).includes('/doomed'))
  assert.doesNotMatch(JSON.stringify(aborted), /http\.response\.status_code/)
})

for (const [protocol, length] of [
  ['h2', {}],
  ['h2', { 'content-length': '100' }],
  ['http/1.1', {}],
] as const) {
  test(`an upload that the agent gives up never looks complete (origin: ${protocol} ${JSON.stringify(length)})`, async t => {
    const seen: Buffer[] = []
    const received = Promise.withResolvers<void>()
    const lost = Promise.withResolvers<void>()
    const frames = Promise.withResolvers<RawPeer>()
    const server = createTlsServer({ ...AUTHORITY.leaf(NAME), ALPNProtocols: [protocol] }, socket => {
      t.after(() => socket.destroy())
      if (protocol === 'h2') frames.resolve(rawPeer(socket, 'server'))
      socket.on('data', (chunk: Buffer) => {
        seen.push(chunk)
        if (chunk.includes('partial')) received.resolve()
      })
      socket.on('error', () => {}).on('close', () => lost.resolve())
    })
    const address = await listen(t, server)
    const agent = (await startRig(t, address)).agent()
    const stream = agent.request({ ':method': 'POST', ':path': '/', ...length }).on('error', () => {})
    stream.write('partial')
    await received.promise
    stream.destroy() // node:http2 sends RST_STREAM(NO_ERROR)
    if (protocol === 'h2') {
      const origin = await frames.promise
      const reset = await origin.until(({ type }) => type === TYPE.reset)
      assert.equal(reset?.payload.readUInt32BE(), NGHTTP2_CANCEL)
      assert.ok(origin.frames.every(({ type, flags }) => type !== TYPE.data || (flags & END_STREAM) === 0))
    } else {
      await lost.promise
      assert.doesNotMatch(Buffer.concat(seen).toString(), /\r\n0\r\n/)
    }
  })
}

test('an agent that goes away cancels everything that was done for it', async t => {
  const { rig, next } = await start(t)
  const socket = await rig.dial()
  const agent = rawPeer(socket, 'client')
  for (const stream of [1, 3]) agent.send(frame(TYPE.headers, END_HEADERS, stream, request(NAME)))
  const upstreams = [await next(), await next()]
  socket.destroy()
  await Promise.all(upstreams.map(stream => once(stream, 'close')))
  assert.deepEqual(
    upstreams.map(stream => stream.rstCode),
    [NGHTTP2_CANCEL, NGHTTP2_CANCEL],
  )
})

for (const [when, begun] of [
  ['before its answer', false],
  ['in the middle of it', true],
] as const) {
  test(`an origin that resets a stream ${when}: the agent's is reset with the same code, the next is served`, async t => {
    const { rig, nextPeer } = await startRawOrigin(t)
    const agent = rig.agent()
    const stream = agent.request({ ':path': '/' })
    const answer = answered(stream)
    const peer = await nextPeer()
    await peer.until(({ type }) => type === TYPE.headers)
    if (begun) {
      peer.send(OK(1), frame(TYPE.data, 0, 1, Buffer.from('part')))
      await once(stream, 'data')
    }
    peer.send(frame(TYPE.reset, 0, 1, uint32(NGHTTP2_ENHANCE_YOUR_CALM)))
    const { code, headers } = await answer
    assert.deepEqual([code, headers[':status']], [NGHTTP2_ENHANCE_YOUR_CALM, begun ? 200 : undefined])
    const second = get(agent, {})
    await peer.until(({ type, stream }) => type === TYPE.headers && stream === 3)
    peer.send(OK(3), frame(TYPE.data, END_STREAM, 3, Buffer.from('ok')))
    assert.equal((await second).body.toString(), 'ok')
  })

  test(`an origin whose connection is lost ${when}`, async t => {
    const { rig, next, sessions } = await start(t)
    const agent = rig.agent()
    const stream = agent.request({ ':method': 'POST', ':path': '/' })
    stream.end('body')
    const answer = answered(stream)
    const upstream = await next()
    upstream.resume()
    await once(upstream, 'end')
    if (begun) {
      upstream.respond({ ':status': 200, 'content-length': '100' })
      upstream.write('part')
      await once(stream, 'data')
    }
    sessions[0]?.destroy()
    const { code, headers, body } = await answer
    if (begun) assert.equal(code, NGHTTP2_INTERNAL_ERROR)
    else {
      assert.equal(headers[':status'], 502)
      assert.match(body.toString(), /CLRK_UPSTREAM_MALFORMED/)
    }
    const second = get(agent, {})
    const again = await next()
    again.respond({ ':status': 200 })
    again.end('ok')
    assert.equal((await second).body.toString(), 'ok')
    assert.equal(sessions.length, 2)
  })
}

test('an origin that says nothing in time: 504, and its connection gets no further request', async t => {
  const { rig, next, sessions } = await start(t, ', requestTimeout: 1s')
  const agent = rig.agent()
  const unfinished = agent.request({ ':method': 'POST', ':path': '/' })
  unfinished.write('part')
  const late = await answered(unfinished)
  assert.deepEqual([late.headers[':status'], late.headers['x-clrk-code']], [504, 'CLRK_UPSTREAM_TIMEOUT'])
  assert.equal(late.code, 0)
  await next()
  const second = get(agent, {})
  const again = await next()
  again.respond({ ':status': 200 })
  again.end('ok')
  assert.equal((await second).body.toString(), 'ok')
  assert.equal(sessions.length, 2)
})

test('a refused stream is sent again once, a refused body is the agent to send again', async t => {
  const { rig, next } = await start(t)
  const agent = rig.agent()
  const first = get(agent, {})
  ;(await next()).close(NGHTTP2_REFUSED_STREAM)
  const again = await next()
  again.respond({ ':status': 200 })
  again.end('second try')
  assert.equal((await first).body.toString(), 'second try')

  const twice = get(agent, {})
  for (let count = 0; count < 2; count++) (await next()).close(NGHTTP2_REFUSED_STREAM)
  assert.equal((await twice).code, NGHTTP2_REFUSED_STREAM)

  const body = agent.request({ ':method': 'POST', ':path': '/' })
  body.write('part')
  const upstream = await next()
  await once(upstream, 'data')
  upstream.close(NGHTTP2_REFUSED_STREAM)
  assert.equal((await answered(body)).code, NGHTTP2_REFUSED_STREAM)
})

test('GOAWAY: what the origin did not see is sent on a new connection, what it saw is finished on the old one', async t => {
  const { rig, peers, nextPeer } = await startRawOrigin(t)
  const agent = rig.agent()
  const seen = get(agent, { ':path': '/seen' })
  const first = await nextPeer()
  await first.until(({ type, stream }) => type === TYPE.headers && stream === 1)
  const unseen = get(agent, { ':path': '/unseen' })
  await first.until(({ type, stream }) => type === TYPE.headers && stream === 3)
  first.send(frame(TYPE.goaway, 0, 0, uint32(1, 0)))
  const second = await nextPeer()
  await second.until(({ type, stream }) => type === TYPE.headers && stream === 1)
  second.send(OK(1), frame(TYPE.data, END_STREAM, 1, Buffer.from('new')))
  first.send(OK(1), frame(TYPE.data, END_STREAM, 1, Buffer.from('old')))
  assert.deepEqual([(await seen).body.toString(), (await unseen).body.toString()], ['old', 'new'])
  await first.closed
  assert.equal(peers.length, 2)
})

test('a stream that the origin ends with RST_STREAM(NO_ERROR) instead of END_STREAM never looks complete', async t => {
  const { rig, nextPeer } = await startRawOrigin(t)
  const answer = get(rig.agent(), {})
  const peer = await nextPeer()
  await peer.until(({ type }) => type === TYPE.headers)
  peer.send(OK(1), frame(TYPE.data, 0, 1, Buffer.from('half')), frame(TYPE.reset, 0, 1, uint32(0)))
  assert.equal((await answer).code, NGHTTP2_INTERNAL_ERROR)
})

test('a change of policy drops idle sessions, and an exchange that is open ends on its own', async t => {
  const { rig, next, sessions } = await start(t)
  const agent = rig.agent()
  const open = get(agent, {})
  const upstream = await next()
  upstream.respond({ ':status': 200 })
  rig.changePolicy('requestTimeout: 7s')
  const second = get(agent, {})
  const again = await next()
  again.respond({ ':status': 200 })
  again.end('new')
  upstream.end('old')
  assert.deepEqual([(await open).body.toString(), (await second).body.toString()], ['old', 'new'])
  assert.equal(sessions.length, 2)
  await closed(sessions[0])
})

test('a connection that was being made when the policy changed serves its exchange, then is closed', async t => {
  const { rig, next, sessions } = await start(t)
  const agent = rig.agent()
  const answer = get(agent, { te: 'trailers' })
  while (rig.counters.requests === 0) await turn()
  assert.equal(sessions.length, 0)
  rig.changePolicy('requestTimeout: 7s')
  const upstream = await next()
  upstream.respond({ ':status': 200 })
  upstream.end('ok')
  assert.equal((await answer).body.toString(), 'ok')
  await closed(sessions[0])
})

test('two gateways never share a session', async t => {
  const origin = await startHttp2Origin(t)
  origin.server.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  const rigs = [await startRig(t, origin.address), await startRig(t, origin.address)]
  for (const rig of [...rigs, ...rigs]) assert.equal((await get(rig.agent(), {})).body.toString(), 'ok')
  assert.equal(origin.sessions.length, 2)
})

test('an origin with a certificate for another name, or of nobody that is trusted, is never sent a byte', async t => {
  for (const leaf of [AUTHORITY.leaf('other.test'), AUTHORITY.leaf(NAME, new Date(Date.now() - 1_000))]) {
    const origin = await startHttp2Origin(t, leaf)
    origin.server.on('stream', () => assert.fail('a request came'))
    const { headers } = await get((await startRig(t, origin.address)).agent(), {})
    assert.deepEqual([headers[':status'], headers['x-clrk-code']], [502, 'CLRK_UPSTREAM_TLS'])
  }
})

/** `:status: 200` from the static table. */
const OK = (stream: number) => frame(TYPE.headers, END_HEADERS, stream, Buffer.from([0x88]))

async function start(t: TestContext, spec = '') {
  const origin = await startHttp2Origin(t)
  const queue = createQueue<ServerHttp2Stream>()
  origin.server.on('stream', (stream: ServerHttp2Stream, _headers: IncomingHttpHeaders) => {
    stream.on('error', () => {})
    queue.push(stream)
  })
  return { rig: await startRig(t, origin.address, spec), next: queue.next, sessions: origin.sessions }
}

/** An origin that speaks frames by hand. */
async function startRawOrigin(t: TestContext) {
  const peers: RawPeer[] = []
  const queue = createQueue<RawPeer>()
  const sockets: TLSSocket[] = []
  const server = createTlsServer({ ...AUTHORITY.leaf(NAME), ALPNProtocols: ['h2'] }, socket => {
    sockets.push(socket)
    const peer = rawPeer(socket, 'server')
    peers.push(peer)
    queue.push(peer)
  })
  const address = await listen(t, server)
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  return { rig: await startRig(t, address), peers, nextPeer: queue.next }
}

async function listen(t: TestContext, server: Server): Promise<string> {
  const address = `127.22.${process.pid % 250}.${++last}`
  server.listen(443, address)
  await once(server, 'listening')
  t.after(() => server.close())
  return address
}

let last = 1

function createQueue<T>() {
  const waiting: ((item: T) => void)[] = []
  const items: T[] = []
  return {
    push: (item: T) => {
      const wanted = waiting.shift()
      if (wanted === undefined) items.push(item)
      else wanted(item)
    },
    next: () => {
      const item = items.shift()
      return item === undefined ? new Promise<T>(resolve => waiting.push(resolve)) : Promise.resolve(item)
    },
  }
}

function closed(socket: { destroyed: boolean; once: (event: 'close', then: () => void) => unknown } | undefined) {
  return new Promise<void>(resolve => {
    if (socket === undefined || socket.destroyed) resolve()
    else socket.once('close', resolve)
  })
}
