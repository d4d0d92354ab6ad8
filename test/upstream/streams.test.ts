/** `requestTimeout` counts to the first byte: a stream that has begun goes on for as long as it says something. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRig } from '../http1/rig.ts'
import { get, startHttp2Origin, startRig as startHttp2Rig } from '../http2/rig.ts'

test('HTTP/1.1: the rest comes long after the time for the first byte', async t => {
  const rig = await startRig(t, { decide: forward => ({ ...forward, firstByteMs: 500 }) })
  const agent = await rig.agent()
  agent.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst')
  await agent.until('first')
  await sleep(800)
  upstream.write('last')
  assert.match(await agent.closed, /firstlast$/)
  assert.deepEqual(rig.faults, [])
})

test('HTTP/2: the same', async t => {
  const origin = await startHttp2Origin(t)
  origin.server.on('stream', async stream => {
    stream.respond({ ':status': 200 })
    stream.write('first')
    await sleep(1_500)
    stream.end('last')
  })
  const rig = await startHttp2Rig(t, origin.address, ', requestTimeout: 1s')
  const { headers, body, code } = await get(rig.agent(), {})
  assert.deepEqual([headers[':status'], body.toString(), code], [200, 'firstlast', 0])
})
