import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { answered, startHttp2Origin, startRig } from './rig.ts'

const BYTES = 50_000_000
const CHUNK = Buffer.alloc(64_000, 'x')
/** What both legs, their windows and the library's buffers may hold of one stream. */
const HELD = 2_000_000

test('50 MB to a slow reader: what the origin could send is never far ahead of what the agent took', async t => {
  const { rig, next } = await start(t)
  const stream = rig.agent().request({ ':path': '/' })
  const upstream = await next()
  upstream.respond({ ':status': 200 })
  const sent = send(upstream)
  assert.equal(await takeSlowly(stream, sent), BYTES)
})

test('50 MB from an agent to a slow origin: the same the other way', async t => {
  const { rig, next } = await start(t)
  const stream = rig.agent().request({ ':method': 'POST', ':path': '/' })
  const sent = send(stream)
  const upstream = await next()
  assert.equal(await takeSlowly(upstream, sent), BYTES)
  upstream.respond({ ':status': 200 })
  upstream.end('done')
  assert.equal((await answered(stream)).body.toString(), 'done')
})

test('a stream that nobody reads holds up no other of its connection', async t => {
  const { rig, next } = await start(t)
  const agent = rig.agent()
  agent.request({ ':path': '/stalled' }).on('error', () => {}) // never read
  const stalled = await next()
  stalled.respond({ ':status': 200 })
  send(stalled)
  for (let count = 0; count < 3; count++) {
    const read = answered(agent.request({ ':path': '/read' }))
    const upstream = await next()
    upstream.respond({ ':status': 200 })
    upstream.end(Buffer.alloc(5_000_000))
    assert.equal((await read).body.length, 5_000_000)
  }
})

test('each event of a stream reaches the agent before the next one is sent', async t => {
  const { rig, next } = await start(t)
  const stream = rig.agent().request({ ':path': '/' })
  const upstream = await next()
  upstream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
  for (let count = 0; count < 20; count++) {
    const event = `data: ${count}\n\n`
    upstream.write(event)
    const [chunk] = (await once(stream, 'data')) as [Buffer]
    assert.equal(chunk.toString(), event)
  }
  upstream.end()
  await answered(stream)
})

/** Writes BYTES as fast as they are taken. */
function send(stream: ServerHttp2Stream | ClientHttp2Stream): { taken: number } {
  const sent = { taken: 0 }
  stream.on('error', () => {})
  const more = (left: number) => {
    if (left === 0) return void stream.end()
    const chunk = CHUNK.subarray(0, left)
    stream.write(chunk, error => {
      if (error) return
      sent.taken += chunk.length
      more(left - chunk.length)
    })
  }
  more(BYTES)
  return sent
}

/** Reads to the end, one piece in several turns of the event loop; returns its length. */
async function takeSlowly(stream: ServerHttp2Stream | ClientHttp2Stream, sent: { taken: number }): Promise<number> {
  let got = 0
  let furthest = 0
  for await (const chunk of stream) {
    for (let count = 0; count < 20; count++) {
      await turn()
      furthest = Math.max(furthest, sent.taken - got)
    }
    got += chunk.length
  }
  assert.ok(furthest > 0 && furthest < HELD, `${furthest} bytes ahead`)
  return got
}

async function start(t: TestContext) {
  const origin = await startHttp2Origin(t)
  const waiting: ((stream: ServerHttp2Stream) => void)[] = []
  const streams: ServerHttp2Stream[] = []
  origin.server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    const wanted = waiting.shift()
    if (wanted === undefined) streams.push(stream)
    else wanted(stream)
  })
  const next = () => {
    const stream = streams.shift()
    return stream === undefined
      ? new Promise<ServerHttp2Stream>(resolve => waiting.push(resolve))
      : Promise.resolve(stream)
  }
  return { rig: await startRig(t, origin.address), next }
}
