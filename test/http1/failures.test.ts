import assert from 'node:assert/strict'
import test from 'node:test'
import { clrkError } from '../../src/errors.ts'
import { startRig } from './rig.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

test('a stale pooled connection is replaced once, for what can be sent again', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  const retriable = [GET, 'PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n']
  for (const [index, request] of retriable.entries()) {
    agent.write(GET)
    const stale = await rig.nextUpstream()
    await stale.until('\r\n\r\n')
    stale.write(OK)
    await agent.until('ok', index * 2 + 1)
    agent.write(request)
    await stale.until('\r\n\r\n', 2)
    stale.socket.resetAndDestroy()
    const fresh = await rig.nextUpstream()
    assert.equal(await fresh.until('\r\n\r\n'), request)
    if (request !== GET) agent.write('hi')
    if (request !== GET) await fresh.until('hi')
    fresh.socket.end(OK)
    await agent.until('ok', index * 2 + 2)
    for (const idle of rig.idle.splice(0)) idle.destroy()
  }
  assert.deepEqual(rig.faults, [])
})

test('a pooled connection that is dead already, or dies within a head, spoils nothing after it', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write(GET)
  const first = await rig.nextUpstream()
  await first.until('\r\n\r\n')
  first.write(OK)
  await agent.until('ok')
  first.socket.end()
  while (rig.idle[0]?.destroyed !== true) await new Promise(setImmediate)
  agent.write(GET)
  const second = await rig.nextUpstream()
  await second.until('\r\n\r\n')
  second.socket.end('HTTP/1.1 200 OK\r\nContent-Le')
  await agent.until('before it answered')
  agent.write(GET)
  const third = await rig.nextUpstream()
  await third.until('\r\n\r\n')
  third.write(OK)
  await agent.until('ok', 2)
  assert.deepEqual(
    rig.faults.map(fault => fault.code),
    ['CLRK_UPSTREAM_MALFORMED'],
  )
})

test('what may have been acted on is not sent twice, nor anything on a second fresh failure', async t => {
  // T49
  for (const request of [
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi',
    'POST / HTTP/1.1\r\nHost: a\r\n\r\n',
  ]) {
    const rig = await startRig(t)
    const agent = await rig.agent()
    agent.write(GET)
    const stale = await rig.nextUpstream()
    await stale.until('\r\n\r\n')
    stale.write(OK)
    await agent.until('ok')
    agent.write(request)
    await stale.until('POST')
    stale.socket.resetAndDestroy()
    assert.match(await agent.until('before it answered'), /HTTP\/1\.1 502 /)
    assert.equal(rig.upstreams.length, 1)
  }
  const rig = await startRig(t, { origin: peer => void peer.until('\r\n\r\n').then(() => peer.socket.destroy()) })
  const agent = await rig.agent()
  agent.write(GET)
  assert.match(await agent.until('before it answered'), /HTTP\/1\.1 502 /)
  assert.equal(rig.upstreams.length, 1)
})

test('an agent that goes away cancels its upstream at once', async t => {
  const rig = await startRig(t)
  for (const answer of ['', 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n']) {
    for (const reset of [false, true]) {
      const agent = await rig.agent()
      agent.write(GET)
      const upstream = await rig.nextUpstream()
      await upstream.until('\r\n\r\n')
      upstream.write(answer)
      if (answer !== '') await agent.until('data: 1')
      if (reset) agent.socket.resetAndDestroy()
      else agent.socket.destroy()
      await upstream.closed
    }
  }
  assert.deepEqual(rig.released, [false, false, false, false])
  assert.deepEqual(
    rig.ends.map(end => end.aborted),
    [true, true, true, true],
  )
})

test('an agent that ends its side while it reads nothing cancels its upstream', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write(GET)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  agent.socket.pause()
  upstream.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n${'x'.repeat(20_000_000)}`)
  while (rig.served[0]?.writableNeedDrain !== true) await new Promise(setImmediate)
  agent.socket.end()
  await upstream.closed
  assert.deepEqual(
    rig.ends.map(end => end.aborted),
    [true],
  )
})

test('an upload that the agent breaks off never completes at the origin', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello')
  const upstream = await rig.nextUpstream()
  await upstream.until('hello')
  agent.socket.end()
  assert.match(await upstream.closed, /hello$/)
})

const TRUNCATED = {
  'a length': 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
  chunks: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
  'no framing': 'HTTP/1.1 200 OK\r\n\r\nhello',
}

for (const [name, bytes] of Object.entries(TRUNCATED)) {
  test(`a response that breaks off does not look complete: ${name}`, async t => {
    const rig = await startRig(t)
    const agent = await rig.agent()
    agent.write(GET)
    const upstream = await rig.nextUpstream()
    await upstream.until('\r\n\r\n')
    upstream.write(bytes)
    await agent.until('hello')
    if (name === 'no framing') upstream.socket.resetAndDestroy()
    else upstream.socket.end()
    assert.doesNotMatch(await agent.closed, /0\r\n\r\n$/)
    assert.deepEqual(
      rig.ends.map(end => end.fault?.code),
      ['CLRK_UPSTREAM_MALFORMED'],
    )
  })
}

test('time limits: no first byte is 504, a slow head 400, a silent stream or an idle agent is closed', async t => {
  const slow = await startRig(t, { decide: forward => ({ ...forward, firstByteMs: 20 }) })
  const waiting = await slow.agent()
  waiting.write(GET)
  assert.match(await waiting.until('20 ms'), /^HTTP\/1\.1 504 /)
  await (await slow.nextUpstream()).closed

  const unconnected = await startRig(t, {
    decide: forward => ({ ...forward, firstByteMs: 20, acquire: () => new Promise(() => {}) }),
  })
  const unserved = await unconnected.agent()
  unserved.write(GET)
  assert.match(await unserved.until('20 ms'), /^HTTP\/1\.1 504 /)

  const rig = await startRig(t, { session: { headMs: 20, streamIdleMs: 20, idleMs: 20 } })
  const drip = await rig.agent()
  drip.write('GET / HTTP/1.1\r\n')
  assert.match(await drip.closed, /^HTTP\/1\.1 400 .*did not end in time/s)
  assert.equal(await (await rig.agent()).closed, '')
  const stream = await rig.agent()
  stream.write(GET)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello')
  assert.match(await stream.closed, /hello$/)
  await upstream.closed
})

test('hooks that throw or reject answer 500 or their fault, and the connection goes on', async t => {
  let call = 0
  const rig = await startRig(t, {
    decide: forward => {
      call += 1
      if (call === 1) throw new Error('secret detail')
      if (call === 2) return Promise.reject(new Error('secret detail'))
      if (call === 3)
        return {
          ...forward,
          acquire: () =>
            Promise.reject(clrkError('CLRK_UPSTREAM_UNREACHABLE', { name: 'a', port: 1, reason: 'refused' })),
        }
      if (call === 4) return { ...forward, set: [['x', 'a\r\nb: c']] }
      return { ...forward, observer: broken }
    },
  })
  const fails = () => {
    throw new Error('observer')
  }
  const broken = { requestHead() {}, requestBody: fails, responseHead: fails, responseBody: fails, end: fails }
  const agent = await rig.agent()
  for (const [index, status] of [500, 500, 502, 500].entries()) {
    agent.write(GET)
    await agent.until('HTTP/1.1 ', index + 1)
    assert.match(agent.text.split('HTTP/1.1 ').at(-1) ?? '', new RegExp(`^${status} `))
    await agent.until('content-length', index + 1)
  }
  assert.equal(rig.upstreams.length, 0)
  assert.doesNotMatch(agent.text, /secret detail/)
  agent.write(GET)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write(OK)
  await agent.until('ok')
  assert.deepEqual(
    rig.reports.map(report => (report as Error).message),
    ['secret detail', 'secret detail', 'observer'],
  )
})
