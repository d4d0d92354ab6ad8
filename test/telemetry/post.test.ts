/** Telemetry's own HTTP: one connection that lasts, a fresh one where it did not, and a clear end for every bad answer. */
import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { createPost, targetOf } from '../../src/telemetry/post.ts'
import { addressOf } from './listening.ts'

const PAYLOAD = [Buffer.from('{"a":'), Buffer.from('1}')]
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'

/** Answers every request (they end with the payload) by what `answer` gives for its number. */
async function receiver(t: TestContext, answer: (request: number, socket: Socket) => string | null) {
  const connections: string[] = []
  let requests = 0
  const server = createServer(socket => {
    const at = connections.push('') - 1
    socket.on('error', () => {})
    socket.on('data', chunk => {
      connections[at] += chunk.toString('latin1')
      if (!connections[at]?.endsWith('{"a":1}')) return
      const said = answer(++requests, socket)
      if (said !== null) socket.write(said)
    })
  })
  const endpoint = new URL(`http://127.0.0.1:${await addressOf(t, server)}`)
  const post = createPost(endpoint, { 'x-tenant': 'a' })
  t.after(() => post.close())
  return { connections, send: () => post.send('/v1/traces', PAYLOAD), host: endpoint.host }
}

test('requests follow each other on one connection, whole', async t => {
  const answers = [
    OK,
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n',
  ]
  const { connections, send, host } = await receiver(t, request => answers[request - 1] ?? null)
  const statuses = [await send(), await send(), await send(), await send()]
  assert.deepEqual(statuses, [200, 202, 204, 503])
  const one = `POST /v1/traces HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nx-tenant: a\r\nContent-Length: 7\r\n\r\n{"a":1}`
  assert.deepEqual(connections, [one.repeat(4)])
})

test('a connection that the receiver closed is replaced, also where it shows only when it is used', async t => {
  const { connections, send } = await receiver(t, (request, socket) => {
    if (request !== 2) return OK
    socket.destroy()
    return null
  })
  assert.deepEqual([await send(), await send()], [200, 200])
  assert.equal(connections.length, 2)
  assert.equal(connections[1], connections[0]?.slice(0, connections[1]?.length))
})

test('an answer that closes the connection, or ends with it, is an answer; the next one has a connection of its own', async t => {
  const { connections, send } = await receiver(t, (request, socket) => {
    if (request === 1) return 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'
    if (request === 2) socket.end('HTTP/1.1 200 OK\r\n\r\nwhat comes until the end')
    return request === 2 ? null : OK
  })
  assert.deepEqual([await send(), await send(), await send()], [200, 200, 200])
  assert.equal(connections.length, 3)
})

for (const [what, answer, reason] of [
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n', /status line is malformed/],
  ['a body with both framings', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n', /both/],
  ['a broken chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n', /not a hexadecimal number/],
  ['half an answer', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}', /closed before the answer was whole/],
] as const) {
  test(`${what} is a failure`, async t => {
    const { connections, send } = await receiver(t, (_, socket) => {
      socket.end(answer)
      return null
    })
    await assert.rejects(send(), reason)
    assert.equal(connections.length, 1)
  })
}

test('bytes behind an answer are no answer to the next request', async t => {
  const { connections, send } = await receiver(t, request => (request === 1 ? `${OK}HTTP/1.1 500 No\r\n\r\n` : OK))
  assert.deepEqual([await send(), await send()], [200, 200])
  assert.equal(connections.length, 2)
})

test('a receiver with a certificate that nobody vouches for gets nothing', async t => {
  const { createPublicAuthority } = await import('../world/certificates.ts')
  const received: Buffer[] = []
  const server = createTlsServer(createPublicAuthority().leaf('localhost'), socket => {
    socket.on('data', chunk => received.push(chunk)).on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  const post = createPost(new URL(`https://localhost:${await addressOf(t, server)}`), {})
  await assert.rejects(post.send('/', PAYLOAD), /certificate/)
  assert.equal(received.length, 0)
})

test('headers and paths that would break out of the head are refused', () => {
  const endpoint = new URL('http://127.0.0.1:1')
  for (const header of ['x\r\ny', 'a b', '', 'Content-Length', 'transfer-encoding', 'connection']) {
    assert.throws(() => createPost(endpoint, { [header]: '1' }), /cannot be sent with telemetry/)
  }
  assert.throws(() => createPost(endpoint, { 'x-a': '1\r\nx-b: 2' }), /cannot be sent with telemetry/)
  assert.throws(() => createPost(new URL('ftp://h/'), {}), /is not http or https/)
  assert.equal(targetOf(new URL('http://h/a b?c=d e#f')), '/a%20b?c=d%20e')
})
