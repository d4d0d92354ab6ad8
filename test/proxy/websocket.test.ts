/**
 * An unmodified WebSocket client (`ws`) behind the proxy that ships: TLS on both legs, the policy's credential on the
 * handshake, frames as they are, one record at the end. T33, T34, T36, T38, T67.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import test, { type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { AUTHORITY, CANARY, NAME, type Rig, startRig } from '../http2/rig.ts'
import { policy } from '../policy/fixtures.ts'
import { ai, gateway, inject, l4 } from '../resources/fixtures.ts'

const PLACEHOLDER = 'clrk-injected-by-proxy'

let last = 1

/** A real WebSocket server on port 443 of an address of its own. It echoes; `close` and `terminate` are commands. */
async function startOrigin(t: TestContext) {
  const handshakes: IncomingMessage[] = []
  const closes: (readonly [code: number, reason: string])[] = []
  const address = `127.22.${process.pid % 250}.${++last}`
  const server = createServer(AUTHORITY.leaf(NAME), (_request, response) => response.end('plain'))
  const sockets = new WebSocketServer({
    server,
    maxPayload: 1 << 26,
    perMessageDeflate: { threshold: 1_024 },
    handleProtocols: offered => [...offered].at(-1) ?? false,
  })
  sockets.on('connection', (socket, request) => {
    handshakes.push(request)
    socket.on('error', () => {})
    socket.on('close', (code, reason) => closes.push([code, reason.toString()]))
    socket.on('message', (data, binary) => {
      if (!binary && String(data) === 'close') socket.close(4321, 'as you like')
      else if (!binary && String(data) === 'terminate') socket.terminate()
      else socket.send(data, { binary })
    })
  })
  server.listen(443, address)
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    server.close()
  })
  return { address, handshakes, closes, extensionsOf: () => [...sockets.clients].map(({ extensions }) => extensions) }
}

/** A client on a connection to the proxy that is `tls`. */
async function open(t: TestContext, rig: Rig, protocols: string[] = [], headers: Record<string, string> = {}) {
  const tls = await rig.dial(['http/1.1'])
  const client = new WebSocket(`ws://${NAME}/v1/realtime?model=x`, protocols, {
    createConnection: () => tls,
    maxPayload: 1 << 26,
    perMessageDeflate: true,
    headers,
  })
  t.after(() => client.terminate())
  await once(client, 'open')
  return { client, tls }
}

test('the handshake carries the credential of the policy and none of the agent', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address)
  const headers = { authorization: 'Bearer sk-of-the-agent', 'x-api-key': PLACEHOLDER }
  const { client } = await open(t, rig, ['realtime', 'openai-insecure-api-key.sk-of-the-agent', 'v2.beta'], headers)
  assert.equal(client.protocol, 'v2.beta')
  const [handshake] = origin.handshakes
  assert.equal(handshake?.headers['x-api-key'], CANARY)
  assert.equal(handshake?.headers['sec-websocket-protocol'], 'realtime, v2.beta')
  assert.doesNotMatch(JSON.stringify(handshake?.rawHeaders), /sk-of-the-agent|injected-by-proxy/)
  assert.deepEqual(
    rig.audited.map(({ action, fault }) => [action, fault.code, fault.details.where]),
    [['stripped', 'CLRK_FOREIGN_CREDENTIAL', 'authorization, sec-websocket-protocol']],
  )
  assert.equal(rig.counters.injected, 1)
  client.close()
  await once(client, 'close')
  const [span] = await rig.spans()
  assert.doesNotMatch(JSON.stringify(span), new RegExp(`sk-of-the-agent|${CANARY}`))
})

test('a placeholder where a subprotocol carries a key goes, and is no foreign credential', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address)
  await open(t, rig, ['token', PLACEHOLDER, `openai-insecure-api-key.${PLACEHOLDER}`, 'realtime'])
  assert.equal(origin.handshakes[0]?.headers['sec-websocket-protocol'], 'realtime')
  assert.deepEqual(rig.audited, [])
})

test('large and many messages come back as they were, never compressed, and are recorded once', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address, ', otlp: {captureBody: {maxBytes: 65536, includeContentTypes: [""]}}')
  const { client, tls } = await open(t, rig)
  assert.equal(client.extensions, '') // in compressed messages no echo could be seen
  assert.equal(origin.extensionsOf()[0], '')
  const handshakeBytes = [tls.bytesWritten, tls.bytesRead]

  const large = randomBytes(1 << 24)
  client.send(large)
  const [echoed] = (await once(client, 'message')) as [Buffer]
  assert.ok(echoed.equals(large))
  client.send('text '.repeat(1 << 20))
  assert.equal(String((await once(client, 'message'))[0]), 'text '.repeat(1 << 20))

  const received: string[] = []
  const all = new Promise<void>(resolve => {
    client.on('message', data => received.push(String(data)) === 5_000 && resolve())
  })
  for (let number = 0; number < 5_000; number++) client.send(`message ${number}`)
  await all
  assert.deepEqual(
    received,
    Array.from({ length: 5_000 }, (_, number) => `message ${number}`),
  )

  client.ping('are you there')
  assert.equal(String((await once(client, 'pong'))[0]), 'are you there')
  assert.deepEqual(await rig.spans(), [])
  client.close(4000, 'done')
  await once(client, 'close')
  while (origin.closes.length === 0) await turn()
  assert.deepEqual(origin.closes, [[4000, 'done']])

  const [span, ...others] = await rig.spans()
  assert.deepEqual(others, [])
  assert.equal(attribute(span, 'http.response.status_code'), '101')
  const moved = [tls.bytesWritten - (handshakeBytes[0] ?? 0), tls.bytesRead - (handshakeBytes[1] ?? 0)]
  assert.deepEqual([attribute(span, 'clrk.req.bytes'), attribute(span, 'clrk.resp.bytes')], moved.map(String))
  assert.doesNotMatch(JSON.stringify(span), /"http\.(request|response)\.body"/)
  assert.equal(rig.counters.recorded, 1)
})

test('closing and breaking off pass in both directions', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address)
  const closedWith = async (act: (client: WebSocket, tls: TLSSocket) => void) => {
    const { client, tls } = await open(t, rig)
    client.on('error', () => {})
    const closed = once(client, 'close') as Promise<[number, Buffer]>
    act(client, tls)
    const [code, reason] = await closed
    return [code, String(reason)] as const
  }
  assert.deepEqual(await closedWith(client => client.send('close')), [4321, 'as you like'])
  assert.deepEqual(await closedWith(client => client.send('terminate')), [1006, ''])
  assert.deepEqual(await closedWith(client => client.close(1000, 'bye')), [1000, 'bye'])
  assert.deepEqual(await closedWith(client => client.terminate()), [1006, ''])
  while (origin.closes.length < 4) await turn()
  assert.deepEqual(origin.closes, [
    [4321, 'as you like'],
    [1006, ''],
    [1000, 'bye'],
    [1006, ''],
  ])
})

test('an upgrade to anything else is a 403 that says so, and the origin hears nothing', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address)
  for (const [fields, status, code] of [
    ['Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAAA', 403, 'CLRK_UPGRADE_NOT_ALLOWED'],
    ['Upgrade: websocket, h2c\r\nConnection: Upgrade', 403, 'CLRK_UPGRADE_NOT_ALLOWED'],
    ['Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13', 400, 'CLRK_HTTP_MALFORMED'],
  ] as const) {
    const tls = await rig.dial(['http/1.1'])
    let text = ''
    tls.on('data', chunk => (text += chunk))
    tls.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n${fields}\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await once(tls, 'end')
    assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text)
    assert.match(text, new RegExp(`x-clrk-code: ${code}\\r\\n`))
    assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length, 1)
  }
  assert.equal(rig.counters.requests, 3)
  assert.equal(rig.counters.denied, 3)
})

test('a policy under which it could not have been opened closes it; another change does not', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address)
  const alias = `upstreamTLS: {hostAliases: [{hostnames: [${NAME}], ip: ${origin.address}}]}`
  const route = (endpoints: string) => ai('own', `{provider: custom, hostnames: [${NAME}]${endpoints}}`)
  const injected = [
    inject('own', 'AIProviderRoute', 'own', 'X-Api-Key'),
    'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {token: x}\n',
  ]
  const host = l4('host', `{destinationHostnames: [${NAME}], ports: [{port: 443}]}`)
  const change = (...texts: readonly string[]) => {
    rig.gateway.update({
      policy: policy(gateway(alias), ...texts),
      secrets: { 'default/keys/token': `${CANARY}-next` },
      authority: '',
      additionalRoots: AUTHORITY.certificate,
    })
    rig.recheck()
  }
  const { client } = await open(t, rig)
  change(host, route(', endpoints: [/v1/realtime]'), ...injected)
  client.send('still there')
  assert.equal(String((await once(client, 'message'))[0]), 'still there')
  const closed = once(client, 'close')
  change(host, route(', endpoints: [/v1/other]'), ...injected) // the host stays allowed, the endpoint does not
  await closed

  change(host, route(''), ...injected)
  const second = await open(t, rig)
  const secondClosed = once(second.client, 'close')
  change(host) // allowed, but no longer with the credential
  await secondClosed
})

function attribute(span: { attributes: { key: string; value: Record<string, string> }[] } | undefined, key: string) {
  const value = span?.attributes.find(found => found.key === key)?.value ?? {}
  return String(Object.values(value)[0])
}
