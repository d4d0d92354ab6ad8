import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { startRig } from './rig.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

test('heads go through byte for byte, and both connections are kept', async t => {
  const rig = await startRig(t, {
    decide: forward => ({ ...forward, remove: name => name === 'authorization', set: [['x-api-key', 'real']] }),
  })
  const agent = await rig.agent()
  agent.write('GET /a?b HTTP/1.1\r\nhOST: a.test\r\nAuthorization: no\r\nX-B: 1\r\nx-a: \xff\r\nX-B: 2\r\n\r\n')
  const upstream = await rig.nextUpstream()
  assert.equal(
    await upstream.until('\r\n\r\n'),
    'GET /a?b HTTP/1.1\r\nhOST: a.test\r\nX-B: 1\r\nx-a: \xff\r\nX-B: 2\r\nx-api-key: real\r\n\r\n',
  )
  const response = 'HTTP/1.1 299 \xe9\r\nSet-Cookie: b\r\nset-cookie: a\r\nX: \x80\r\nContent-Length: 3\r\n\r\n\0\xff\n'
  upstream.write(response)
  assert.equal(await agent.until('\n', 7), response)

  agent.write('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody')
  assert.match(await upstream.until('body'), /real\r\n\r\nPOST \/ .*\r\nx-api-key: real\r\n\r\nbody$/s)
  upstream.write(OK)
  await agent.until('\r\n\r\nok')
  assert.equal(rig.upstreams.length, 1)
  assert.deepEqual(rig.released, [true, true])
})

test('a request and its response may be cut at every byte', async t => {
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
  const body = '3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nX-Sum: 1\r\n\r\n'
  const response = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`
  let cut = 0
  const rig = await startRig(t, {
    origin: peer =>
      void peer.until('\r\n\r\n', 2).then(async () => {
        peer.write(response.slice(0, cut))
        await turn()
        peer.write(response.slice(cut))
      }),
  })
  const longest = Math.max((head + body).length, response.length)
  for (cut = 1; cut < longest; cut++) {
    const agent = await rig.agent()
    agent.write((head + body).slice(0, cut))
    await turn()
    agent.write((head + body).slice(cut))
    assert.equal(await agent.until('\r\n\r\n', 3), response)
    assert.equal(rig.upstreams.at(-1)?.text, head + body)
    agent.socket.destroy()
    for (const idle of rig.idle.splice(0)) idle.destroy()
  }
})

test('three pipelined requests are answered in order, one at a time', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  const post = 'POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET'
  agent.write(`GET /1 HTTP/1.1\r\nHost: a\r\n\r\n${post}GET /3 HTTP/1.1\r\nHost: a\r\n\r\n`)
  const upstream = await rig.nextUpstream()
  const answer = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${body}`
  assert.equal(await upstream.until('\r\n\r\n'), 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n')
  upstream.write(answer('1'))
  assert.equal((await upstream.until('\r\n\r\nGET')).slice(-post.length), post)
  upstream.write(answer('2'))
  assert.match(await upstream.until('\r\n\r\n', 3), /GET \/3 HTTP\/1.1\r\nHost: a\r\n\r\n$/)
  upstream.write(answer('3'))
  assert.equal(await agent.until('\r\n\r\n3'), answer('1') + answer('2') + answer('3'))
  assert.equal(rig.upstreams.length, 1)
})

test('responses without a body: HEAD, 204, 304', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
  const upstream = await rig.nextUpstream()
  await upstream.until('HEAD')
  const heads = [
    'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
  ]
  upstream.write(heads[0] ?? '')
  await agent.until('\r\n\r\n')
  agent.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await upstream.until('GET')
  upstream.write(heads[1] ?? '')
  await agent.until('\r\n\r\n', 2)
  agent.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await upstream.until('GET', 2)
  upstream.write('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n')
  assert.equal(await agent.until('\r\n\r\n', 3), heads.join(''))
  assert.deepEqual(rig.released, [true, true, true])
})

test('a response that ends with its connection is chunked for HTTP/1.1 and closes for HTTP/1.0', async t => {
  const rig = await startRig(t, {
    origin: peer => void peer.until('\r\n\r\n').then(() => peer.socket.end('HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello')),
  })
  const agent = await rig.agent()
  agent.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const chunked = 'HTTP/1.1 200 OK\r\nX: y\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'
  assert.equal(await agent.until('0\r\n\r\n'), chunked)
  agent.write('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
  assert.equal(await agent.closed, `${chunked}HTTP/1.1 200 OK\r\nX: y\r\nconnection: close\r\n\r\nhello`)
  assert.deepEqual(rig.released, [false, false])
})

test('HTTP/1.0 agents get no chunks and no interim answers, and may keep their connection', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n')
  const upstream = await rig.nextUpstream()
  assert.equal(await upstream.until('\r\n\r\n'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  upstream.write(`HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${OK}`)
  const kept = OK.replace('\r\n\r\n', '\r\nconnection: keep-alive\r\n\r\n')
  assert.equal(await agent.until('ok'), kept)
  agent.write('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
  await upstream.until('GET', 2)
  upstream.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n')
  assert.equal(await agent.closed, `${kept}HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi`)
})

test('Connection: close is honoured after the answer, and from the origin', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write(OK.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
  assert.equal(await agent.closed, OK.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
  await upstream.closed
  assert.deepEqual(rig.released, [false])
})

test('an early response is delivered, then the connection closes', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\npart')
  const upstream = await rig.nextUpstream()
  await upstream.until('part')
  upstream.write('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno')
  assert.equal(await agent.closed, 'HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nconnection: close\r\n\r\nno')
  agent.write('still sending')
  await upstream.closed
  assert.deepEqual(rig.released, [false])
  assert.equal(upstream.text.endsWith('part'), true)
})

test('Expect: 100-continue: the origin says whether the body comes', async t => {
  // T46
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write('PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n')
  const upstream = await rig.nextUpstream()
  assert.match(await upstream.until('\r\n\r\n'), /\r\nExpect: 100-continue\r\n/)
  upstream.write('HTTP/1.1 100 Continue\r\n\r\n')
  await agent.until('HTTP/1.1 100 Continue\r\n\r\n')
  agent.write('body')
  await upstream.until('body')
  upstream.write(OK)
  assert.equal(await agent.until('ok'), `HTTP/1.1 100 Continue\r\n\r\n${OK}`)
  assert.deepEqual(rig.released, [true])
})

test('half-open: a complete request is still answered where the socket allows it, else cancelled', async t => {
  const open = await startRig(t, { allowHalfOpen: true })
  const patient = await open.agent()
  patient.socket.end('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const upstream = await open.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write(OK)
  assert.equal(await patient.closed, OK)

  const rig = await startRig(t)
  const gone = await rig.agent()
  gone.socket.end('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await (await rig.nextUpstream()).closed
  assert.equal(await gone.closed, '')
  assert.deepEqual(
    rig.ends.map(end => end.aborted),
    [true],
  )
})

test('bytes that were read before are served first', async t => {
  const rig = await startRig(t, { session: { firstBytes: Buffer.from('GET /first HTTP/1.1\r\nHo') } })
  const agent = await rig.agent()
  agent.write('st: a\r\n\r\n')
  const upstream = await rig.nextUpstream()
  assert.equal(await upstream.until('\r\n\r\n'), 'GET /first HTTP/1.1\r\nHost: a\r\n\r\n')
})
