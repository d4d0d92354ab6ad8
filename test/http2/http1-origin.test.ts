/** Agents with HTTP/2 before a scripted HTTP/1.1 origin: what it may say, and which connection is used again. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { createServer, type TLSSocket } from 'node:tls'
import { AUTHORITY, answered, CANARY, get, NAME, startRig } from './rig.ts'

/** With a credential, for an answer in which an echo of it can be seen. */
const ASKED = 'accept-encoding: identity\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

test('the head that goes out is HTTP/1.1 with one framing, and the connection is used again', async t => {
  const { rig, seen } = await start(t, () => OK)
  const agent = rig.agent()
  const ask = async (headers: Record<string, string | string[]>, body?: string) => {
    assert.equal((await get(agent, headers, body)).body.toString(), 'ok')
  }
  await ask({ ':path': '/first', te: 'trailers' }) // made while asking for h2, used once
  await ask({ ':path': '/1', cookie: ['a=1', 'b=2'], 'x-a': '\xff', te: 'trailers' })
  await ask({ ':path': '/2', ':method': 'POST' }, 'body')
  await ask({ ':path': '/3', ':method': 'POST', 'content-length': '4' }, 'body')
  await ask({ ':path': '/4', ':method': 'POST' })
  const own = `host: ${NAME}:443\r\n${ASKED}x-api-key: ${CANARY}\r\n`
  assert.deepEqual(
    seen.slice(1).join(''),
    [
      `GET /1 HTTP/1.1\r\nhost: ${NAME}:443\r\nx-a: \xff\r\n${ASKED}x-api-key: ${CANARY}\r\n\r\n`,
      `POST /2 HTTP/1.1\r\n${own}transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n`,
      `POST /3 HTTP/1.1\r\nhost: ${NAME}:443\r\ncontent-length: 4\r\n${ASKED}x-api-key: ${CANARY}\r\n\r\nbody`,
      `POST /4 HTTP/1.1\r\n${own}content-length: 0\r\n\r\n`,
    ].join(''),
  )
  assert.equal(seen.length, 2)
})

test('a connection that was answered before its request had ended is not used again', async t => {
  const { rig, seen } = await start(t, () => OK)
  const agent = rig.agent()
  await get(agent, {})
  // On a connection made while asking for h2, then on the one that waits.
  for (const _ of [1, 2]) {
    const early = agent.request({ ':method': 'POST', ':path': '/early' })
    assert.equal((await answered(early)).body.toString(), 'ok')
  }
  await get(agent, { ':path': '/next' })
  assert.equal(seen.length, 3)
  assert.match(seen[2] ?? '', /^GET \/next/)
})

for (const [what, answer, status] of [
  ['bytes after the answer', `${OK}HTTP/1.1 200 OK\r\n`, 200],
  ['Connection: close', OK.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'), 200],
  ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 502],
  ['a head that is none', 'HTTP/1.1 200 OK\r\nx y\r\n\r\n', 502],
  ['101 that nobody asked for', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n', 502],
  ['too many interim answers', `${'HTTP/1.1 103 Hints\r\n\r\n'.repeat(17)}${OK}`, 502],
] as const) {
  test(`${what}: ${status}, and that connection carries nothing more (T130)`, async t => {
    const { rig, seen } = await start(t, request => (request.includes('/bad') ? answer : OK))
    const agent = rig.agent()
    await get(agent, {})
    assert.equal((await get(agent, { ':path': '/bad' })).headers[':status'], status)
    assert.equal((await get(agent, { ':path': '/next' })).headers[':status'], 200)
    assert.equal(seen.length, 2)
  })
}

test('a chunk that is malformed, or missing, resets the stream: nothing only looks complete', async t => {
  const answers = ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour', 'x\r\n']
  for (const more of [answers[1], null]) {
    const { rig } = await start(t, (_request, socket) => {
      socket.write(answers[0] ?? '')
      setImmediate(() => (more === null ? socket.end() : socket.write(more ?? '')))
      return null
    })
    assert.notEqual((await get(rig.agent(), {})).code, 0)
  }
})

test('an answer that ends with its connection is complete', async t => {
  const { rig } = await start(t, (_request, socket) => {
    socket.end('HTTP/1.1 200 OK\r\n\r\nall of it')
    return null
  })
  const { body, code } = await get(rig.agent(), {})
  assert.deepEqual([body.toString(), code], ['all of it', 0])
})

test('a stale connection is replaced once, where that is safe', async t => {
  const { rig, seen } = await start(t, (request, socket) => {
    if (!request.includes('/stale')) return OK
    socket.destroy()
    return null
  })
  const agent = rig.agent()
  assert.equal((await get(agent, { ':path': '/stale' })).headers[':status'], 502)
  assert.equal(seen.length, 1) // fresh: whatever happened to it, it was not stale
  await get(agent, {})
  assert.equal((await get(agent, { ':path': '/stale' })).headers[':status'], 502)
  assert.equal(seen.length, 3) // the pooled one, then a fresh one
  await get(agent, {})
  const post = { ':path': '/stale', ':method': 'POST', 'content-length': '1' }
  assert.equal((await get(agent, post, 'x')).headers[':status'], 502)
  assert.equal(seen.length, 4)
})

/** `answer`: what to write once a head has come, or null where it did that itself. `seen`: all that came, by connection. */
async function start(t: TestContext, answer: (request: string, socket: TLSSocket) => string | null) {
  const seen: string[] = []
  const server = createServer({ ...AUTHORITY.leaf(NAME), ALPNProtocols: ['http/1.1'] }, socket => {
    t.after(() => socket.destroy())
    const index = seen.push('') - 1
    let request = ''
    socket.on('error', () => {})
    socket.on('data', chunk => {
      seen[index] += chunk.toString('latin1')
      request += chunk.toString('latin1')
      const head = request.indexOf('\r\n\r\n')
      if (head < 0) return
      const whole =
        request.includes('chunked\r\n') && !request.includes('/early')
          ? request.endsWith('0\r\n\r\n')
          : !request.includes('content-length: 4') || request.endsWith('body')
      if (!whole) return
      const said = answer(request, socket)
      request = ''
      if (said !== null) socket.write(said)
    })
  })
  const address = `127.24.${process.pid % 250}.${++last}`
  server.listen(443, address)
  await once(server, 'listening')
  t.after(() => server.close())
  return { rig: await startRig(t, address), seen }
}

let last = 1
