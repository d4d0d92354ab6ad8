/** Any bytes as a handshake: no throw, what asks for a WebSocket asks for the same when it goes out, one answer fits. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createRequestReader, createResponseReader } from '../../src/http1/head-reader.ts'
import { rewriteRequestHead, rewriteResponseHead } from '../../src/http1/rewrite.ts'
import { readUpgrade, switchProblem } from '../../src/http1/websocket.ts'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const REQUEST = { key: KEY, subprotocols: ['realtime'] }
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const ASKS = `Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`
const AGREES = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n`

export const target = {
  name: 'websocket',
  seeds: [
    `GET / HTTP/1.1\r\nHost: a.test\r\n${ASKS}\r\n`,
    `GET /x HTTP/1.1\r\n${ASKS}Sec-WebSocket-Protocol: realtime, b\r\nsec_websocket_protocol: c\r\nHost: a\r\n\r\nearly`,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n',
    `HTTP/1.1 101 Switching Protocols\r\n${AGREES}\r\n`,
    `HTTP/1.1 101 \r\n${AGREES}Sec-WebSocket-Protocol: realtime\r\nSec-WebSocket-Extensions: a; b=1\r\n\r\n\x81\x00`,
  ].map(text => Buffer.from(text, 'latin1')) as readonly Buffer[],
  maximumBytes: 1_024,
  run(bytes: Buffer): void {
    const asked = createRequestReader().push(bytes)
    if (asked.kind === 'head') {
      const upgrade = readUpgrade(asked.head)
      if (upgrade !== null && 'key' in upgrade && asked.head.host !== null) {
        const changes = { remove: () => false, set: [], target: asked.head.target }
        const again = createRequestReader().push(
          Buffer.from(rewriteRequestHead(asked.head, changes, upgrade), 'latin1'),
        )
        assert.ok(again.kind === 'head')
        assert.deepEqual(readUpgrade(again.head), upgrade)
        assert.deepEqual(again.head.nominated, ['upgrade'])
        assert.equal(Buffer.from(upgrade.key, 'base64').length, 16)
        const plain = createRequestReader().push(Buffer.from(rewriteRequestHead(asked.head, changes), 'latin1'))
        assert.ok(plain.kind === 'head' && plain.head.upgrade === null)
      }
    }
    const answered = createResponseReader().push(bytes)
    if (answered.kind !== 'head' || switchProblem(REQUEST, answered.head) !== null) return
    assert.ok(bytes.includes(ACCEPT))
    const again = createResponseReader().push(
      Buffer.from(rewriteResponseHead(answered.head, 'none', 'upgrade'), 'latin1'),
    )
    assert.ok(again.kind === 'head')
    assert.equal(switchProblem(REQUEST, again.head), null)
    assert.notEqual(switchProblem({ ...REQUEST, key: `A${KEY.slice(1)}` }, again.head), null)
  },
}
