/**
 * A hostile echo behind the proxy that ships: what the policy set on a request reaches the origin and never comes back,
 * over HTTP/1.1, HTTP/2 and WebSocket, coded or not. T79, T80, T124.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import test, { type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { WebSocket, WebSocketServer } from 'ws'
import { AUTHORITY, answered, CANARY, get, NAME, type Rig, startHttp2Origin, startRig } from '../http2/rig.ts'

const BODY = `before ${CANARY} between ${Buffer.from(CANARY).toString('hex')} after`

let last = 1

/** A real HTTP/1.1 origin on port 443 of an address of its own. */
async function startOrigin(t: TestContext, handle: Parameters<typeof createServer>[1]): Promise<string> {
  return listenOn(t, createServer(AUTHORITY.leaf(NAME), handle))
}

async function listenOn(t: TestContext, server: Server): Promise<string> {
  const address = `127.23.${process.pid % 250}.${++last}`
  server.listen(443, address)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return address
}

/** One request over HTTP/1.1, closed after it: all that the agent sees, as latin1. */
async function ask(rig: Rig, fields = '', path = '/'): Promise<string> {
  const tls = await rig.dial(['http/1.1'])
  let text = ''
  tls.on('data', chunk => (text += chunk.toString('latin1')))
  tls.write(`GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n${fields}\r\n`)
  await once(tls, 'close')
  return text
}

function assertHidden(text: string): void {
  assert.ok(!text.toLowerCase().includes(CANARY.slice(4)), text)
  assert.ok(!text.toLowerCase().includes(Buffer.from(CANARY).toString('hex').slice(8)), text)
}

test('heads, interim heads and bodies come without it, the length stays, and one line says so', async t => {
  const address = await startOrigin(t, (request, response) => {
    assert.equal(request.headers['x-api-key'], CANARY)
    response.writeEarlyHints({ link: `</${CANARY}>; rel=preload` })
    response.setHeader('x-echo', `key=${CANARY}`)
    response.setHeader('set-cookie', [`a=${encodeURIComponent(CANARY)}`, `b=${Buffer.from(CANARY).toString('base64')}`])
    response.writeHead(401, `bad ${CANARY}`, { 'content-length': BODY.length })
    response.write(BODY.slice(0, 12))
    setTimeout(() => response.end(BODY.slice(12)), 20)
  })
  const rig = await startRig(t, address)
  const text = await ask(rig)
  assertHidden(text)
  assert.match(text, /^HTTP\/1\.1 103 .*\r\nlink: <\/clrk-inj/i)
  assert.match(text, /\r\nx-echo: key=clrk-injected-by-proxy/)
  assert.equal(text.slice(text.lastIndexOf('\r\n\r\n') + 4).length, BODY.length)
  assert.match(text, new RegExp(`\r\ncontent-length: ${BODY.length}\r\n`))
  assert.deepEqual(
    rig.audited.map(({ action, fault }) => [action, fault.code, fault.details.secret]),
    [['replaced', 'CLRK_SECRET_ECHOED', 'default/keys/token']],
  )
  assertHidden(JSON.stringify(rig.audited))
})

test('the origin is asked for no coding and no range, whatever the agent asks for', async t => {
  const seen: (readonly string[])[] = []
  const address = await startOrigin(t, (request, response) => {
    seen.push(request.rawHeaders.filter((_, at) => at % 2 === 0).map(name => name.toLowerCase()))
    response.end(String(request.headers['accept-encoding']))
  })
  const rig = await startRig(t, address)
  const wants = [
    'Accept-Encoding: gzip',
    'Accept_Encoding: br',
    'Range: bytes=3-',
    'If-Range: "x"',
    'Accept-Charset: utf-16',
  ]
  const text = await ask(rig, wants.map(line => `${line}\r\n`).join(''))
  assert.match(text, /identity/)
  assert.deepEqual(seen[0]?.toSorted(), ['accept-encoding', 'host', 'x-api-key'])
})

/** The payload of a complete chunked body. */
function dechunked(text: string): string {
  let payload = ''
  for (let at = 0; ; ) {
    const line = text.indexOf('\r\n', at)
    const size = Number.parseInt(text.slice(at, line), 16)
    assert.ok(Number.isFinite(size))
    if (size === 0) return payload
    payload += text.slice(line + 2, line + 2 + size)
    at = line + 4 + size
  }
}

const CODINGS = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  deflate: deflateSync,
  Deflate: deflateRawSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
} as const

for (const [coding, encode] of Object.entries(CODINGS)) {
  for (const protocol of ['http/1.1', 'h2'] as const) {
    test(`a body in ${coding} all the same is decoded and comes without it (${protocol})`, async t => {
      const large = Buffer.from(`${BODY}\n`.repeat(20_000))
      const address = await startOrigin(t, (_request, response) => {
        const bytes = encode(large)
        response.writeHead(200, { 'content-encoding': coding, 'content-length': bytes.length })
        response.end(bytes)
      })
      const rig = await startRig(t, address)
      if (protocol === 'http/1.1') {
        const text = await ask(rig)
        assertHidden(text)
        assert.doesNotMatch(text, /content-encoding|content-length/i)
        assert.equal(dechunked(text.slice(text.indexOf('\r\n\r\n') + 4)).length, large.length)
        return
      }
      const { headers, body } = await get(rig.agent(), {})
      assertHidden(body.toString())
      assert.equal(headers['content-encoding'], undefined)
      assert.equal(headers['content-length'], undefined)
      assert.equal(body.length, large.length)
    })
  }
}

test('a coding that nobody knows, or that is not what it says, is refused, and the reason holds no secret', async t => {
  const answers: Record<string, [string, Buffer]> = {
    '/unknown': ['x-rot13', Buffer.from('abc')],
    '/twice': ['gzip, gzip', gzipSync(gzipSync(BODY))],
    '/secret': [CANARY, Buffer.from(BODY)],
    '/grpc': ['identity', Buffer.from(BODY)],
  }
  const address = await startOrigin(t, (request, response) => {
    const [coding, bytes] = answers[request.url ?? ''] ?? ['gzip', Buffer.from('not gzip at all, by no means')]
    if (request.url === '/grpc') response.setHeader('grpc-encoding', 'gzip')
    response.writeHead(200, { 'content-encoding': coding, 'content-length': bytes.length }).end(bytes)
  })
  const rig = await startRig(t, address)
  for (const path of Object.keys(answers)) {
    const text = await ask(rig, '', path)
    assert.match(text, /^HTTP\/1\.1 502 .*x-clrk-code: CLRK_UPSTREAM_ENCODED/s)
    assertHidden(text)
    const { headers, body } = await get(rig.agent(), { ':path': path })
    assert.equal(headers[':status'], 502)
    assertHidden(body.toString())
  }
  const broken = await ask(rig, '', '/broken')
  assert.ok(!broken.includes('by no means') && !broken.endsWith('0\r\n\r\n'), 'it only looks complete')
  assert.notEqual((await get(rig.agent(), { ':path': '/broken' })).code, 0)
})

test('a decoded body waits for an agent that does not read, and the next answer comes behind it', async t => {
  const coded = gzipSync(randomBytes(1 << 25), { level: 0 })
  let taken = 0
  const address = await startOrigin(t, async (_request, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': coded.length })
    for (let at = 0; at < coded.length; at += 65_536) {
      if (!response.write(coded.subarray(at, at + 65_536))) await once(response, 'drain')
      taken += 65_536
    }
    response.end()
  })
  const rig = await startRig(t, address)
  const tls = await rig.dial(['http/1.1'])
  tls.pause()
  tls.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\nGET /2 HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`)
  for (let [before, still] = [0, 0]; still < 300; await turn()) {
    still = taken > 0 && taken === before ? still + 1 : 0
    before = taken
  }
  assert.ok(taken < coded.length, 'all of it was taken')
  let count = 0
  tls.on('data', chunk => (count += chunk.length))
  tls.resume()
  await once(tls, 'close')
  assert.ok(count > 2 << 25, `${count} bytes`)
})

test('over HTTP/2 heads, bodies and trailers come without it', async t => {
  const origin = await startHttp2Origin(t)
  origin.server.on('stream', stream => {
    stream.respond(
      { ':status': 200, 'x-echo': CANARY, 'content-length': BODY.length, trailer: 'grpc-message' },
      { waitForTrailers: true },
    )
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'grpc-message': `%73k${encodeURIComponent(CANARY.slice(2))}` }),
    )
    stream.write(BODY.slice(0, 12))
    setTimeout(() => stream.end(BODY.slice(12)), 20)
  })
  const rig = await startRig(t, origin.address)
  const { headers, body, trailers } = await answered(rig.agent().request({ ':path': '/' }))
  assertHidden(JSON.stringify([headers, body.toString(), trailers]))
  assert.equal(headers['content-length'], String(BODY.length))
  assert.equal(body.length, BODY.length)
  assert.match(String(trailers?.['grpc-message']), /^clrk-inject/)
})

test('WebSocket messages come without it, in one frame or in many, and nothing else changes', async t => {
  const server = createServer(AUTHORITY.leaf(NAME))
  const address = await listenOn(t, server)
  const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } })
  t.after(() => {
    for (const socket of sockets.clients) socket.terminate()
  })
  sockets.on('headers', headers => headers.push(`X-Echo: ${CANARY}`))
  sockets.on('connection', (socket, request) => {
    const key = String(request.headers['x-api-key'])
    socket.send(`early ${key}`)
    socket.send('plain', { fin: false })
    socket.send(` and ${key.slice(0, 9)}`, { fin: false })
    socket.ping('ping')
    socket.send(`${key.slice(9)}.`, { fin: true })
    socket.on('pong', () => {
      socket.send(Buffer.from(`\0${key}\xff`, 'latin1'))
      socket.close(4000, key)
    })
  })
  const rig = await startRig(t, address)
  const tls = await rig.dial(['http/1.1'])
  const client = new WebSocket(`ws://${NAME}/`, { createConnection: () => tls })
  const events: string[] = []
  client.on('upgrade', response => events.push(String(response.headers['x-echo'])))
  client.on('message', data => events.push(String(data)))
  client.on('ping', data => events.push(`ping ${data}`))
  const [code, reason] = (await once(client, 'close')) as [number, Buffer]
  assertHidden(JSON.stringify(events))
  const mask = 'clrk-injected-by-proxy*'
  assert.deepEqual(
    [...events, code, String(reason)],
    [mask, `early ${mask}`, `ping ping`, `plain and ${mask}.`, `\0${mask}\ufffd`, 4000, mask],
  )
  assert.deepEqual(
    rig.audited.map(({ fault }) => [fault.code, fault.details.where]),
    [['CLRK_SECRET_ECHOED', 'head']],
  )
})

test('a WebSocket whose messages could not be read is ended', async t => {
  for (const frame of [
    [0xc1, 0x01, 0x61],
    [0x81, 0x81, 0, 0, 0, 0, 0x61],
    [0x80, 0x01, 0x61],
    [0x09, 0x00],
    [0x83, 0x00],
  ]) {
    const server = createServer(AUTHORITY.leaf(NAME))
    const address = await listenOn(t, server)
    server.on('upgrade', (request, socket) => {
      const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
      const accept = createHash('sha1').update(key).digest('base64')
      socket.on('error', () => {})
      socket.write(
        `HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      )
      setImmediate(() => socket.write(Buffer.from(frame)))
    })
    const rig = await startRig(t, address)
    const tls = await rig.dial(['http/1.1'])
    let seen = Buffer.alloc(0)
    tls.on('data', chunk => (seen = Buffer.concat([seen, chunk])))
    const fields = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13'
    tls.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n${fields}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
    await once(tls, 'close')
    assert.match(seen.toString('latin1'), /^HTTP\/1\.1 (?:101|502) /)
    assert.ok(!seen.includes(Buffer.from(frame)), String(frame))
    const [span] = await rig.spans()
    assert.match(JSON.stringify(span), /CLRK_UPSTREAM_MALFORMED/)
  }
})
