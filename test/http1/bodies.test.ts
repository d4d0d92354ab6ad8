import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { guardThat } from './guard.ts'
import type { Peer } from './rig.ts'
import { startRig } from './rig.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const SIZE = 50 * 1024 * 1024
const BLOCK = Buffer.alloc(65_536, 'all work and no play makes jack a dull boy. ')

for (const direction of ['down', 'up'] as const) {
  for (const framing of ['length', 'chunked'] as const) {
    test(`50 MB ${direction} (${framing}) to a slow reader: complete, and held back meanwhile`, async t => {
      const rig = await startRig(t)
      const agent = await rig.agent()
      const line = framing === 'length' ? `Content-Length: ${SIZE}` : 'Transfer-Encoding: chunked'
      agent.write(direction === 'down' ? GET : `POST / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`)
      const upstream = await rig.nextUpstream()
      await upstream.until('\r\n\r\n')
      const [sender, reader] = direction === 'down' ? [upstream, agent] : [agent, upstream]
      if (direction === 'down') upstream.write(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`)
      if (direction === 'down') await agent.until('\r\n\r\n')
      const received = countPayload(reader)
      reader.socket.pause()
      const before = process.memoryUsage().arrayBuffers
      let sent = 0
      const sending = send(sender, framing, bytes => {
        sent = bytes
      })
      // Until nothing moves any more: what is on its way then sits in kernel buffers, not in ours.
      for (let last = -1; last !== sent; ) {
        last = sent
        await new Promise(resolve => setTimeout(resolve, 100))
      }
      assert.ok(sent < SIZE / 2, `${sent} bytes were taken from the sender`)
      assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024)
      reader.socket.resume()
      await sending
      const wire = framing === 'length' ? SIZE : SIZE + (SIZE / BLOCK.length) * '10000\r\n\r\n'.length + 5
      assert.equal(await received(wire), createHash('sha256').update(wireOf(framing)).digest('hex'))
    })
  }
}

test('the observer sees every payload byte in order, and is told the end once', async t => {
  let up = ''
  let down = ''
  const seen: string[] = []
  const rig = await startRig(t, {
    decide: forward => ({
      ...forward,
      set: [['x-api-key', 'real']],
      observer: {
        requestHead: (head, set) => seen.push(`${head.method} ${set.map(([name]) => name)}`),
        requestBody: (chunk, from, to) => {
          up += chunk.toString('latin1', from, to)
        },
        responseHead: head => seen.push(`${head.status}`),
        responseBody: (chunk, from, to) => {
          down += chunk.toString('latin1', from, to)
        },
        end: summary => seen.push(JSON.stringify(summary)),
      },
    }),
  })
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  const upstream = await rig.nextUpstream()
  await upstream.until('abc')
  agent.write('2\r\nde\r\n0\r\n\r\n')
  await upstream.until('0\r\n\r\n')
  upstream.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata')
  await agent.until('data')
  upstream.write('\r\n0\r\n\r\n')
  await agent.until('0\r\n\r\n')
  assert.deepEqual([up, down], ['abcde', 'data'])
  const end = JSON.stringify({ bytesUp: 5, bytesDown: 4, fault: null, aborted: false })
  assert.deepEqual(seen, ['POST x-api-key', '200', end])
})

test('a guard sees heads and payload, changes both, and one that changes the length is chunked', async t => {
  // T79, T80
  const guard = guardThat(
    text => text.replace('secret', 'hidden'),
    slice => Buffer.from(slice.toString().replace('secret', '')),
    { decoded: true, held: 'held' },
  )
  const rig = await startRig(t, { decide: forward => ({ ...forward, guard }) })
  const agent = await rig.agent()
  agent.write(GET)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write('HTTP/1.1 200 OK\r\nEcho: secret\r\nContent-Length: 13\r\n\r\none secret ab')
  assert.equal(
    await agent.until('0\r\n\r\n'),
    'HTTP/1.1 200 OK\r\nEcho: hidden\r\ntransfer-encoding: chunked\r\n\r\n7\r\none  ab\r\n4\r\nheld\r\n0\r\n\r\n',
  )
  agent.write(GET)
  await upstream.until('\r\n\r\n', 2)
  upstream.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n1secret\r\n0\r\nEcho: secret\r\n\r\n')
  assert.match(await agent.until('held\r\n0\r\n\r\n', 2), /chunked\r\n\r\n1\r\n1\r\n4\r\nheld\r\n0\r\n\r\n$/)
})

test('behind a guard that keeps the length, the length stays, and the connection is used again', async t => {
  const guard = guardThat(
    text => text,
    slice => Buffer.from(slice.toString().replace('secret', 'hidden')),
  )
  const rig = await startRig(t, { decide: forward => ({ ...forward, guard }) })
  const agent = await rig.agent()
  agent.write(GET)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write('HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\none sec')
  await agent.until('one')
  upstream.write('ret ab')
  await agent.until('ret ab')
  agent.write(GET)
  await upstream.until('\r\n\r\n', 2)
  upstream.write('HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\none secret ab')
  const length = 'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n'
  assert.equal(await agent.until('hidden ab'), `${length}one secret ab${length}one hidden ab`)
})

test('past a guard that throws nothing goes to the agent', async t => {
  const fail = () => {
    throw new Error('guard')
  }
  for (const guard of [guardThat(fail, slice => slice), guardThat(text => text, fail)]) {
    const rig = await startRig(t, { decide: forward => ({ ...forward, guard }) })
    const agent = await rig.agent()
    agent.write(GET)
    const upstream = await rig.nextUpstream()
    await upstream.until('\r\n\r\n')
    upstream.write('HTTP/1.1 200 OK\r\nEcho: secret\r\nContent-Length: 6\r\n\r\nsecret')
    await upstream.closed
    assert.doesNotMatch(await agent.closed, /\r\n\r\n.*secret/s)
    assert.deepEqual(
      rig.ends.map(end => end.fault?.code),
      ['CLRK_INTERNAL'],
    )
    assert.equal(rig.reports.length, 1)
  }
})

function* blocks(framing: 'length' | 'chunked'): Generator<Buffer> {
  for (let at = 0; at < SIZE; at += BLOCK.length) {
    yield framing === 'length' ? BLOCK : Buffer.concat([Buffer.from('10000\r\n'), BLOCK, Buffer.from('\r\n')])
  }
  if (framing === 'chunked') yield Buffer.from('0\r\n\r\n')
}

function wireOf(framing: 'length' | 'chunked'): Buffer {
  return Buffer.concat([...blocks(framing)])
}

async function send(peer: Peer, framing: 'length' | 'chunked', progress: (bytes: number) => void): Promise<void> {
  let sent = 0
  for (const block of blocks(framing)) {
    if (!peer.socket.write(block)) await new Promise(resolve => peer.socket.once('drain', resolve))
    sent += block.length
    progress(sent)
  }
}

/** Replaces the reader's text by a hash of what comes from now on. */
function countPayload(reader: Peer): (bytes: number) => Promise<string> {
  const hash = createHash('sha256')
  let bytes = 0
  let check = () => {}
  reader.socket.removeAllListeners('data')
  reader.socket.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    bytes += chunk.length
    check()
  })
  return expected =>
    new Promise(resolve => {
      check = () => {
        if (bytes >= expected) resolve(hash.digest('hex'))
      }
      check()
    })
}
