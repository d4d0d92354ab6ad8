/** What serveHttp2 promises to whoever calls it: bounds in time, guards, hooks that fail, the end of a connection. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, constants, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { describe } from '../../src/errors.ts'
import type { ExchangeSummary } from '../../src/http1/hooks.ts'
import type { Http2Decision, Http2Forward, Http2Hooks } from '../../src/http2/hooks.ts'
import { type Http2Connection, type Http2Options, serveHttp2 } from '../../src/http2/serve.ts'
import { guardThat } from '../http1/guard.ts'
import { END_HEADERS, frame, rawPeer, request, TYPE } from './frames.ts'
import { AUTHORITY, answered, get, NAME } from './rig.ts'

test('a connection without a stream is told to go, then closed; one with a stream is kept', async t => {
  const { dial, next } = await start(t, {}, { idleMs: 50 })
  const idle = rawPeer(await dial(), 'client')
  const goaway = await idle.until(({ type }) => type === TYPE.goaway)
  assert.equal(goaway?.payload.readUInt32BE(4), constants.NGHTTP2_NO_ERROR)
  await idle.closed

  const busy = rawPeer(await dial(), 'client')
  busy.send(frame(TYPE.headers, END_HEADERS, 1, request(NAME)))
  const upstream = await next()
  const second = rawPeer(await dial(), 'client') // has gone when this one would have, were it idle
  await second.closed
  assert.ok(!busy.frames.some(({ type }) => type === TYPE.goaway))
  upstream.respond({ ':status': 200 })
  upstream.end('ok')
  assert.notEqual(await busy.until(({ type }) => type === TYPE.data), null)
})

test('a response that stands still is reset, and the origin is told', async t => {
  const { agent, next, ends } = await start(t, {}, { streamIdleMs: 50 })
  const answer = get(agent(), {})
  const upstream = await next()
  upstream.respond({ ':status': 200 })
  upstream.write('part')
  assert.equal((await answer).code, constants.NGHTTP2_INTERNAL_ERROR)
  if (!upstream.destroyed) await once(upstream, 'close')
  assert.equal(ends[0]?.fault?.code, 'CLRK_UPSTREAM_TIMEOUT')
})

test('a guard sees heads, body and trailers, and what it returns goes out', async t => {
  const guard = guardThat(
    text => text.replaceAll('secret', 'hidden'),
    slice => Buffer.from(slice.toString().replaceAll('secret', 'hidden')),
    { decoded: true, held: '|end' },
  )
  const { agent, next } = await start(t, { guard })
  const answer = get(agent(), {})
  const upstream = await next()
  upstream.additionalHeaders({ ':status': 103, link: 'secret' })
  upstream.respond({ ':status': 200, 'content-length': '13', 'x-echo': 'secret' }, { waitForTrailers: true })
  upstream.on('wantTrailers', () => upstream.sendTrailers({ 'grpc-message': 'secret' }))
  upstream.end('my secret key')
  const { headers, body, trailers } = await answer
  assert.deepEqual(
    [headers['x-echo'], headers['content-length'], body.toString()],
    ['hidden', undefined, 'my hidden key|end'],
  )
  assert.equal(trailers?.['grpc-message'], 'hidden')
})

for (const [what, change] of [
  ['a decision that throws', { decide: () => fail() }],
  ['a decision that rejects', { decide: () => Promise.reject(new Error('broken')) }],
  ['an upstream that throws', { acquire: () => fail() }],
  ['a header that cannot be set', { set: [['x-a', 'line\nend']] as const }],
  [
    'a guard that throws',
    {
      guard: guardThat(
        () => fail(),
        slice => slice,
      ),
    },
  ],
] as const) {
  test(`${what} ends its stream with an answer or a reset, and no other`, async t => {
    const { agent, next, reports, decisions } = await start(t, {})
    const session = agent()
    decisions.push(change)
    const broken = get(session, {})
    if ('guard' in change) {
      const upstream = await next()
      upstream.respond({ ':status': 200 })
      upstream.end('x')
    }
    const { headers, body } = await broken
    assert.equal(headers[':status'], 500)
    assert.doesNotMatch(body.toString(), /broken/)
    if (!('set' in change)) assert.match(String(reports[0]), /broken/)
    const second = get(session, {})
    const upstream = await next()
    upstream.respond({ ':status': 200 })
    upstream.end('ok')
    assert.equal((await second).body.toString(), 'ok')
  })
}

test('one stream too many is refused, so that the agent may send it again', async t => {
  const { agent, next } = await start(t, {}, {}, { opened: createCount(1) })
  const session = agent()
  const first = get(session, {})
  const upstream = await next()
  assert.equal((await get(session, {})).code, constants.NGHTTP2_REFUSED_STREAM)
  upstream.respond({ ':status': 200 })
  upstream.end('ok')
  assert.equal((await first).body.toString(), 'ok')
})

test('closing a connection says GOAWAY, cancels its upstreams and ends its exchanges as aborted', async t => {
  const { agent, next, connections, ends } = await start(t, {})
  const session = agent()
  const goaway = once(session, 'goaway')
  const stream = session.request({ ':path': '/' }).on('error', () => {})
  const upstream = await next()
  connections[0]?.close()
  await Promise.all([goaway, answered(stream), once(upstream, 'close')])
  assert.deepEqual(
    ends.map(({ aborted }) => aborted),
    [true],
  )
})

type Change = Partial<Http2Forward> & { readonly decide?: () => Http2Decision | Promise<Http2Decision> }

/** A proxy of one hook each, before an origin on loopback. */
async function start(
  t: TestContext,
  change: Change,
  options: Partial<Http2Options> = {},
  hooks: Partial<Http2Hooks> = {},
) {
  const waiting: ((stream: ServerHttp2Stream) => void)[] = []
  const origin = createServer()
  origin.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    waiting.shift()?.(stream)
  })
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const upstream = connect(`http://127.0.0.1:${(origin.address() as AddressInfo).port}`)
  const ends: ExchangeSummary[] = []
  const reports: unknown[] = []
  const decisions: Change[] = []
  const connections: Http2Connection[] = []
  const sockets = new Set<TLSSocket>()
  const proxy = createTlsServer({ ...AUTHORITY.leaf(NAME), ALPNProtocols: ['h2'] }, socket => {
    sockets.add(socket.on('error', () => {}))
    connections.push(
      serveHttp2(
        socket,
        {
          decide: head => {
            const { decide, ...forward } = { ...change, ...decisions.shift() }
            return (
              decide?.() ?? {
                kind: 'forward',
                remove: () => false,
                set: [],
                target: head.target,
                acquire: () => ({ kind: 'http2', session: upstream, release: () => {} }),
                observer: {
                  requestHead() {},
                  requestBody() {},
                  responseHead() {},
                  responseBody() {},
                  end: summary => ends.push(summary),
                },
                guard: null,
                firstByteMs: 60_000,
                ...forward,
              }
            )
          },
          failed: (_, fault) => {
            const { status, why } = describe(fault)
            return { kind: 'answer', status, reason: '', headers: [], body: why, close: false }
          },
          report: error => reports.push(error),
          opened: () => true,
          closed: () => true,
          control: () => true,
          ...hooks,
        },
        options,
      ),
    )
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo
  const open = () => {
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      servername: NAME,
      ca: AUTHORITY.certificate,
      ALPNProtocols: ['h2'],
    })
    sockets.add(socket.on('error', () => {}))
    return socket
  }
  t.after(() => {
    upstream.destroy()
    for (const socket of sockets) socket.destroy()
    proxy.close()
    origin.close()
  })
  return {
    ends,
    reports,
    decisions,
    connections,
    next: () => new Promise<ServerHttp2Stream>(resolve => waiting.push(resolve)),
    agent: () => connect(`https://${NAME}`, { createConnection: open }).on('error', () => {}),
    dial: async () => {
      const socket = open()
      await once(socket, 'secureConnect')
      return socket
    },
  }
}

function fail(): never {
  throw new Error('broken')
}

function createCount(times: number): () => boolean {
  let left = times
  return () => left-- > 0
}
