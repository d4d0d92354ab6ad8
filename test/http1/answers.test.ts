import assert from 'node:assert/strict'
import test from 'node:test'
import type { Answer } from '../../src/http1/hooks.ts'
import { startRig } from './rig.ts'

const DENIED: Answer = {
  kind: 'answer',
  status: 403,
  reason: 'Forbidden',
  headers: [['content-type', 'application/problem+json']],
  body: '{"é":1}',
  close: false,
}
const HEAD = 'HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\ncontent-length: 8\r\n'
const BODY = Buffer.from(DENIED.body).toString('latin1')

test('an answer of our own keeps the connection when the whole request has come', async t => {
  const rig = await startRig(t, { decide: () => DENIED })
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyHEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.equal(await agent.until('\r\n\r\n', 2), `${HEAD}\r\n${BODY}${HEAD}\r\n`)
  agent.write('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
  assert.match(await agent.until(BODY, 2), /\r\nconnection: keep-alive\r\n\r\n[^\r]*$/)
  agent.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  assert.match(await agent.closed, /\r\nconnection: close\r\n\r\n[^\r]*$/)
})

test('an answer before the body has come ends the connection, and what still comes is thrown away', async t => {
  const rig = await startRig(t, { decide: () => DENIED })
  for (const line of [
    'Content-Length: 1000000',
    'Expect: 100-continue\r\nContent-Length: 4',
    'Transfer-Encoding: chunked',
  ]) {
    const agent = await rig.agent()
    agent.write(`POST / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`)
    assert.equal(await agent.closed, `${HEAD}connection: close\r\n\r\n${BODY}`)
    // No reset: the answer must be readable even by who goes on sending.
    for (let count = 0; count < 8; count++) {
      await new Promise<void>((sent, failed) =>
        agent.socket.write('x'.repeat(65_536), error => (error ? failed(error) : sent())),
      )
    }
    agent.socket.end()
  }
  assert.equal(rig.upstreams.length, 0)
})

test('thousands of pipelined requests in one segment are answered one by one', async t => {
  const rig = await startRig(t, { decide: () => DENIED })
  const agent = await rig.agent()
  agent.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(5_000))
  await agent.until('HTTP/1.1 403', 5_000)
  assert.equal(rig.heads.length, 5_000)
  assert.deepEqual(rig.reports, [])
})

test('an agent that never reads its answers is not read from either', async t => {
  const rig = await startRig(t, { decide: () => ({ ...DENIED, body: 'x'.repeat(65_536) }) })
  const agent = await rig.agent()
  agent.socket.pause().removeAllListeners('data')
  agent.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1_000))
  for (let heads = -1; heads !== rig.heads.length; ) {
    heads = rig.heads.length
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  assert.ok(rig.heads.length < 500, `${rig.heads.length} requests were read`)
  let bytes = 0
  agent.socket.on('data', chunk => {
    bytes += chunk.length
  })
  agent.socket.resume()
  while (bytes < 1_000 * 65_536) await new Promise(setImmediate)
  assert.equal(rig.heads.length, 1_000)
})

test('a decision may take its time; what comes meanwhile waits', async t => {
  const decide: (() => void)[] = []
  const rig = await startRig(t, { decide: forward => new Promise(resolve => decide.push(() => resolve(forward))) })
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf')
  while (decide.length === 0) await new Promise(setImmediate)
  agent.write('halfGET')
  assert.equal(rig.upstreams.length, 0)
  decide[0]?.()
  const upstream = await rig.nextUpstream()
  assert.match(await upstream.until('halfhalf'), /halfhalf$/)
})

test('an upstream that comes after the agent has gone is given back', async t => {
  const given: (() => void)[] = []
  const rig = await startRig(t, {
    decide: forward => ({
      ...forward,
      acquire: async fresh => {
        const lease = await forward.acquire(fresh)
        await new Promise<void>(resolve => given.push(resolve))
        return lease
      },
    }),
  })
  const agent = await rig.agent()
  agent.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  while (given.length === 0) await new Promise(setImmediate)
  agent.socket.destroy()
  while (rig.ends.length === 0) await new Promise(setImmediate)
  given[0]?.()
  await (await rig.nextUpstream()).closed
  assert.deepEqual(rig.released, [false])
})
