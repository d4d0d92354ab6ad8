/** A body that has to be read before its request is decided goes on as the very bytes that came; nothing of it before. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { Answer, Forward } from '../../src/http1/hooks.ts'
import { keepBody, keepBytes, nextKept, sealKept } from '../../src/http1/kept-body.ts'
import { type Rig, type RigOptions, startRig } from './rig.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const REFUSED: Answer = { kind: 'answer', status: 403, reason: 'No', headers: [], body: 'no', close: false }
const ROOM = 1_000

type Read = { payload: string; room: number; released: number }

/** Reads every body and forwards it unless it holds `refuse`; takes up to `most` bytes. */
async function reading(t: TestContext, more: RigOptions = {}, most = ROOM): Promise<Rig & { readonly reads: Read[] }> {
  const reads: Read[] = []
  const rig = await startRig(t, {
    ...more,
    decide: (forward: Forward) => {
      const read: Read = { payload: '', room: 0, released: 0 }
      reads.push(read)
      return {
        kind: 'read-body',
        reader: {
          room: bytes => {
            if (read.room + bytes > most) return { ...REFUSED, status: 413 }
            read.room += bytes
            return null
          },
          payload: (chunk, from, to) => {
            read.payload += chunk.toString('latin1', from, to)
          },
          end: () => (read.payload.includes('refuse') ? REFUSED : forward),
          release: () => {
            read.released += 1
          },
        },
      }
    },
  })
  return { ...rig, reads }
}

const BODIES = {
  'Content-Length: 11\r\n\r\nhello world': 'hello world',
  'Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n': 'hello world',
  'Content-Length: 0\r\n\r\n': '',
  '\r\n': '',
}

test('the same bytes go on, cut anywhere, and the next request of the connection after them', async t => {
  const rig = await reading(t)
  for (const [rest, payload] of Object.entries(BODIES)) {
    const request = `POST /a HTTP/1.1\r\nHost: a\r\n${rest}`
    const both = `${request}GET /b HTTP/1.1\r\nHost: a\r\n\r\n`
    for (let cut = 1; cut < both.length; cut++) {
      const agent = await rig.agent()
      agent.write(both.slice(0, cut))
      await new Promise(setImmediate)
      agent.write(both.slice(cut))
      const upstream = await rig.nextUpstream()
      await upstream.until(request)
      upstream.write(OK)
      assert.equal(await upstream.until(both), both, `cut at ${cut}`)
      upstream.write(OK)
      await agent.until('ok', 2)
      const reads = rig.reads.splice(0)
      assert.deepEqual(
        reads.map(read => read.payload),
        [payload, ''],
      )
      assert.ok(reads.every(({ released }) => released > 0))
      agent.socket.destroy()
      for (const idle of rig.idle.splice(0)) idle.destroy()
    }
  }
  assert.deepEqual(rig.faults, [])
})

test('bytes that come one at a time are kept in few buffers, which hold them and little more', () => {
  const body = keepBody<Forward>({ room: () => null, payload: () => {}, end: () => REFUSED, release: () => {} })
  const sent = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251))
  for (let at = 0; at < sent.length; at++) keepBytes(body, sent.subarray(at, at + 1), 1)
  assert.ok(body.blocks.length < 16)
  assert.ok(body.blocks.reduce((sum, block) => sum + block.buffer.byteLength, 0) < sent.length + 65_536)
  sealKept(body)
  const kept: Buffer[] = []
  for (let block = nextKept(body); block !== null; block = nextKept(body)) kept.push(block)
  assert.ok(Buffer.concat(kept).equals(sent))
})

test('nothing goes out before the last byte has come', async t => {
  const rig = await reading(t)
  const agent = await rig.agent()
  const body = 'x'.repeat(900)
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n')
  for (const byte of body.slice(1)) {
    agent.write(byte)
    await new Promise(setImmediate)
  }
  assert.equal(rig.upstreams.length, 0)
  agent.write('x')
  const upstream = await rig.nextUpstream()
  await upstream.until(`\r\n\r\n${body}`)
  upstream.write(OK)
  await agent.until('ok')
})

test('who expects 100-continue is asked by us; the origin is not expected to', async t => {
  const rig = await reading(t)
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n')
  await agent.until('HTTP/1.1 100 Continue\r\n\r\n')
  assert.equal(rig.upstreams.length, 0)
  agent.write('body')
  const upstream = await rig.nextUpstream()
  assert.equal(await upstream.until('body'), 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody')
  upstream.write(OK)
  assert.equal(await agent.until('ok'), `HTTP/1.1 100 Continue\r\n\r\n${OK}`)
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody')
  await upstream.until('body', 2)
  upstream.write(OK)
  assert.equal(await agent.until('ok', 2), `HTTP/1.1 100 Continue\r\n\r\n${OK}${OK}`) // it did not wait
})

test('a refused body goes nowhere, and the connection goes on behind it', async t => {
  const rig = await reading(t)
  const agent = await rig.agent()
  agent.write(
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nrefusePOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi',
  )
  await agent.until('HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno')
  const upstream = await rig.nextUpstream()
  assert.equal(await upstream.until('hi'), 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
  upstream.write(OK)
  await agent.until('ok')
})

test('a body past its room is answered in the middle, and its connection ends', async t => {
  const rig = await reading(t)
  const agent = await rig.agent()
  agent.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n${'x'.repeat(600)}`)
  await new Promise(resolve => setTimeout(resolve, 20))
  agent.write('x'.repeat(600))
  assert.equal(await agent.closed, 'HTTP/1.1 413 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno')
  assert.equal(rig.upstreams.length, 0)
  assert.ok((rig.reads[0]?.released ?? 0) > 0)
})

test('malformed chunks, refused trailers and a body that stops are never sent', async t => {
  const rig = await reading(t)
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (const body of ['2\r\nhi!', 'x', '2\r\nhi\r\n0\r\nContent-Length: 2\r\n\r\n']) {
    const agent = await rig.agent()
    agent.write(`${head}${body}`)
    assert.match(await agent.closed, /^HTTP\/1\.1 400 CLRK_HTTP_MALFORMED\r\n/)
  }
  const gone = await rig.agent()
  gone.write(`${head}2\r\nhi`)
  while (rig.reads[3]?.payload !== 'hi') await new Promise(setImmediate)
  gone.socket.end()
  await gone.closed
  assert.equal(rig.upstreams.length, 0)
  assert.deepEqual(
    rig.reads.map(({ released }) => released > 0),
    [true, true, true, true],
  )
})

test('a trailer that the decision takes out is refused before a byte is sent', async t => {
  const rig = await startRig(t, {
    decide: forward => ({
      kind: 'read-body',
      reader: {
        room: () => null,
        payload: () => {},
        end: () => ({ ...forward, remove: name => name === 'x-api-key' }),
        release: () => {},
      },
    }),
  })
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Api-Key: x\r\n\r\n')
  assert.match(await agent.closed, /^HTTP\/1\.1 400 CLRK_HTTP_MALFORMED\r\n/)
  assert.equal(rig.upstreams[0]?.text ?? '', '')
})

test('a pooled connection that is dead already is replaced, and the whole body goes over the next', async t => {
  const rig = await reading(t)
  const agent = await rig.agent()
  const post = (body: string) => `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  agent.write(post('one'))
  const first = await rig.nextUpstream()
  await first.until('one')
  first.write(OK)
  await agent.until('ok')
  rig.idle[0]?.destroy()
  agent.write(post('two') + post('six'))
  const second = await rig.nextUpstream()
  assert.equal(await second.until('two'), post('two'))
  second.write(OK)
  assert.equal(await second.until('six'), post('two') + post('six'))
  second.write(OK)
  await agent.until('ok', 3)
  assert.deepEqual(rig.faults, [])
})

test('an agent that ends its side behind its body is answered where that is allowed', async t => {
  const rig = await reading(t, { allowHalfOpen: true })
  const agent = await rig.agent()
  agent.socket.end('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\nhi')
  upstream.write(OK)
  assert.equal(await agent.closed, OK)
})

test('a body that does not come in time is answered, and goes nowhere', async t => {
  const rig = await reading(t, { session: { streamIdleMs: 50 } })
  const agent = await rig.agent()
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhi')
  assert.match(await agent.closed, /^HTTP\/1\.1 400 CLRK_HTTP_MALFORMED\r\n[\s\S]*its body did not end in time/)
  assert.equal(rig.upstreams.length, 0)
})

test('room is given back when the body has gone out, not before', async t => {
  const size = 30_000_000
  const rig = await reading(t, { origin: peer => peer.socket.pause() }, size)
  const agent = await rig.agent()
  agent.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
  const upstream = await rig.nextUpstream()
  await new Promise(resolve => setTimeout(resolve, 200))
  assert.equal(rig.reads[0]?.released, 0)
  upstream.socket.resume()
  const start = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n'
  while (upstream.text.length < start.length + size) await new Promise(setImmediate)
  assert.equal(upstream.text, start + 'x'.repeat(size))
  upstream.write(OK)
  await agent.until('ok')
  assert.equal(rig.released[0], true)
  assert.ok((rig.reads[0]?.released ?? 0) > 0)
})

test('an answer in the middle of a body ends the connection to the origin, and not the one to the agent', async t => {
  const size = 30_000_000
  const rig = await reading(t, { origin: peer => peer.socket.pause() }, size)
  const agent = await rig.agent()
  agent.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
  const upstream = await rig.nextUpstream()
  upstream.write(OK)
  await agent.until('ok')
  assert.deepEqual(rig.released, [false])
  agent.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
  const next = await rig.nextUpstream()
  next.socket.resume()
  assert.equal(await next.until('hi'), 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
  next.write(OK)
  await agent.until('ok', 2)
})
