import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { refuseLateRequest, type Sniffed, sniff } from '../../src/proxy/sniff.ts'

/** Sniffs a connection on which `speak` is the client; both ends are closed afterwards. */
async function sniffing(speak: (client: Socket) => void, serverMaySpeakFirst = false): Promise<Sniffed> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const client = connect({ host: '127.0.0.1', port: address.port, noDelay: true })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const sniffed = sniff(socket, serverMaySpeakFirst)
  speak(client)
  const result = await sniffed
  socket.destroy()
  client.destroy()
  server.close()
  return result
}

/** The bytes of a real ClientHello. */
async function hello(servername: string): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const client = connectTls({ host: '127.0.0.1', port: address.port, servername, ALPNProtocols: ['http/1.1'] })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  client.destroy()
  server.close()
  return bytes
}

async function slowly(client: Socket, bytes: Buffer): Promise<void> {
  for (const byte of bytes) {
    if (client.destroyed) return
    client.write(Buffer.from([byte]))
    await new Promise(resolve => setImmediate(resolve))
  }
}

test('a ClientHello is recognised whole or a byte at a time, and comes back untouched (T23)', async () => {
  const bytes = await hello('api.example')
  for (const speak of [(client: Socket) => void client.write(bytes), (client: Socket) => void slowly(client, bytes)]) {
    const sniffed = await sniffing(speak)
    assert.equal(sniffed.kind, 'tls')
    assert.equal(sniffed.serverName, 'api.example')
    assert.deepEqual(sniffed.alpn, ['http/1.1'])
    assert.deepEqual(sniffed.bytes, bytes)
  }
})

test('an HTTP head is recognised, with its one Host', async () => {
  const one = await sniffing(client => void slowly(client, Buffer.from('GET / HTTP/1.1\r\nHost:  a.example \r\n\r\n')))
  assert.equal(one.kind, 'http')
  assert.equal(one.authority, 'a.example')
  const two = await sniffing(client => client.write('GET / HTTP/1.1\r\nHost: a.example\r\nhost: b.example\r\n\r\n'))
  assert.equal(two.kind, 'http')
  assert.equal(two.authority, null)
})

test('what some server would read as a request is read as one here, whatever its method and what stands before it', async () => {
  for (const method of ['get', 'M-SEARCH', '2x', "'GET'", '\r\nGET', '\n\n\r\nget', 'X'.repeat(32)]) {
    for (const target of ['/', '*', 'http://b.example/', 'HTTPS://b.example/']) {
      const bytes = Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: a.example\r\n\r\n`)
      for (const speak of [
        (client: Socket) => void client.write(bytes),
        (client: Socket) => void slowly(client, bytes),
      ]) {
        const sniffed = await sniffing(speak, true)
        assert.equal(sniffed.kind, 'http', bytes.toString())
        assert.equal(sniffed.authority, 'a.example')
      }
    }
  }
})

test('the beginning of TLS or HTTP that does not go on is an error, never raw (T18)', async () => {
  for (const bytes of ['GET / HTTP/1.1\r\nHost: a\r\n', 'get /', '\x16\x03', '\r\n'.repeat(32)]) {
    const sniffed = await sniffing(client => void client.end(bytes, 'latin1'), true)
    assert.equal(sniffed.kind, 'error', JSON.stringify(bytes))
    assert.equal(sniffed.fault.code, 'CLRK_PROTOCOL_NOT_ALLOWED')
  }
})

test('a word that may become a request is raw and said to be undecided', async () => {
  for (const bytes of ['ruok', 'GET', 'get ht', '\r\n']) {
    for (const speak of [(client: Socket) => void client.write(bytes), (client: Socket) => void client.end(bytes)]) {
      const sniffed = await sniffing(speak, true)
      assert.ok(sniffed.kind === 'raw' && sniffed.undecided, JSON.stringify(bytes))
    }
  }
})

test('anything else is raw', async () => {
  for (const bytes of ['SSH-2.0-OpenSSH_9.2\r\n', '\x05\x01\x00', 'get key\r\n', '\0'.repeat(64)]) {
    const sniffed = await sniffing(client => void client.write(bytes, 'latin1'))
    assert.equal(sniffed.kind, 'raw', JSON.stringify(bytes))
    assert.equal(sniffed.bytes.toString('latin1'), bytes)
  }
})

test('a hello that is no hello is an error that says so', async () => {
  const sniffed = await sniffing(client => void client.write(Buffer.from('16030100050200000100', 'hex')))
  assert.equal(sniffed.kind, 'error')
  assert.equal(sniffed.fault.code, 'CLRK_TLS_NOT_A_HELLO')
})

test('a client that goes without a word is nothing, one that waits lets the server speak', async () => {
  assert.equal((await sniffing(client => void client.end())).kind, 'nothing')
  const waiting = await sniffing(() => {}, true)
  assert.equal(waiting.kind, 'raw')
  assert.equal(waiting.bytes.length, 0)
})

test('what follows an undecided word passes, unless it makes a request of it: of that the server hears nothing (T18)', async () => {
  for (const [first, pieces, said, refused] of [
    ['word', [' and', ' more'], ' and more', false],
    ['ruok', ['\n'], '\n', false],
    ['ge', ['t', ' /other HTTP/1.1\r\n\r\n'], 't', true],
    ['get ht', ['tp://other/ HTTP/1.1\r\n\r\n'], '', true],
    ['\r\n', ['GET / HTTP/1.1\r\n\r\n'], '', true],
  ] as const) {
    const agent = new PassThrough()
    const upstream = new PassThrough()
    let refusals = 0
    refuseLateRequest(agent as never, upstream as never, Buffer.from(first), () => refusals++)
    let heard = ''
    agent.on('data', chunk => {
      if (!upstream.destroyed) heard += chunk
    })
    for (const piece of pieces) {
      agent.write(piece)
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.deepEqual({ heard, refusals }, { heard: said, refusals: refused ? 1 : 0 }, first)
  }
})
