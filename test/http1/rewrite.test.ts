import assert from 'node:assert/strict'
import test from 'node:test'
import { isClrkError } from '../../src/errors.ts'
import { parseRequestHead, parseResponseHead } from '../../src/http1/head.ts'
import type { RequestChanges, ResponseFraming } from '../../src/http1/rewrite.ts'
import { rewriteRequestHead, rewriteResponseHead } from '../../src/http1/rewrite.ts'

test('order, case, duplicates, spacing and obs-text go on byte for byte', () => {
  // T110
  const lines = 'hOsT:  a.test\r\nX-B: 2\r\nx-a:1\r\nX-B: 1\t\r\nx-obs: \xff\xe9\x80\r\n__proto__: 1\r\n'
  assert.equal(rewritten(lines), `GET / HTTP/1.1\r\n${lines}\r\n`)
})

test('what is set stands once, whatever the agent sent', () => {
  // T32
  const lines = 'Host: a\r\nX_Api_Key: no\r\nx-api-key: no\r\nX-API-KEY: no\r\nx-api_key: no\r\nX-Api-Keys: yes\r\n'
  const out = rewritten(lines, { set: [['x-api-key', 'real']] })
  assert.equal(out, 'GET / HTTP/1.1\r\nHost: a\r\nX-Api-Keys: yes\r\nx-api-key: real\r\n\r\n')
})

test('what is removed goes with its underscore twins', () => {
  // T32, T33
  const lines = 'Host: a\r\nAuthorization: no\r\nX_Goog_Api_Key: no\r\nx-goog-api-key: no\r\nAuthorization2: yes\r\n'
  const out = rewritten(lines, { remove: name => name === 'authorization' || name === 'x-goog-api-key' })
  assert.equal(out, 'GET / HTTP/1.1\r\nHost: a\r\nAuthorization2: yes\r\n\r\n')
})

test('hop-by-hop fields end here, before the credential is set', () => {
  // T31
  const lines =
    'Host: a\r\nConnection: authorization, X-Mine, host, content-length, content-type\r\nX-Mine: 1\r\nKeep-Alive: 1\r\n' +
    'Proxy-Connection: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\nTE: trailers\r\nUpgrade: h2c\r\n' +
    'HTTP2-Settings: x\r\nproxy_authorization: x\r\nContent_Length: 9\r\nTransfer_Encoding: chunked\r\n' +
    'Content-Type: text/plain\r\nContent-Length: 3\r\nAuthorization: no\r\nTrailer: X-Sum\r\n'
  const out = rewritten(lines, { set: [['Authorization', 'Bearer real']] })
  assert.equal(
    out,
    'GET / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nTrailer: X-Sum\r\nAuthorization: Bearer real\r\n\r\n',
  )
})

test('framing is written anew in its place and cannot be removed', () => {
  // T27
  const remove = () => true
  assert.equal(
    rewritten('Host: a\r\nCONTENT-LENGTH:\t0042 \r\n', { remove }),
    'GET / HTTP/1.1\r\nCONTENT-LENGTH: 42\r\n\r\n',
  )
  assert.equal(
    rewritten('Host: a\r\nTransfer-Encoding: CHUNKED\r\n', { remove }),
    'GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
})

test('Expect goes on, but not from HTTP/1.0, and HTTP/1.1 goes out', () => {
  // T46
  assert.match(rewritten('Host: a\r\nExpect: 100-continue\r\n'), /Expect: 100-continue/)
  assert.equal(rewritten('Host: a\r\nExpect: 100-continue\r\n', {}, '1.0'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
})

test('nothing that could not stand in a head is ever set', () => {
  // T95
  const bad: readonly RequestChanges['set'][number][] = [
    ['x-api-key', 'a\r\nb: c'],
    ['x-api-key', 'a\u010d\u010ab'],
    ['x-api-key', 'a\0'],
    ['x-api-key', ''],
    ['x y', 'a'],
    ['', 'a'],
    ['content-length', '3'],
    ['Transfer_Encoding', 'chunked'],
    ['connection', 'x'],
  ]
  for (const field of bad) {
    assert.throws(() => rewritten('Host: a\r\n', { set: [field] }), isClrkError, JSON.stringify(field))
  }
  assert.throws(() => rewritten('Host: a\r\n', { target: '/a b' }), isClrkError)
  assert.match(rewritten('Host: a\r\n', { target: '/b?c' }), /^GET \/b\?c HTTP/)
})

test('a response loses its hop-by-hop fields and Alt-Svc', () => {
  // T21
  const out = response(
    'Connection: X-Mine\r\nX-Mine: 1\r\nAlt-Svc: h3=":443"\r\nKeep-Alive: timeout=5\r\nSet-Cookie: b\r\nset-cookie: a\r\nContent-Length: 03\r\n',
  )
  assert.equal(out, 'HTTP/1.1 200 \xe9t\xe9\r\nSet-Cookie: b\r\nset-cookie: a\r\nContent-Length: 3\r\n\r\n')
})

test('a response gets the framing and Connection that this hop has', () => {
  const lines = 'A: 1\r\nContent-Length: 3\r\n'
  assert.equal(response(lines, 'chunked'), 'HTTP/1.1 200 \xe9t\xe9\r\nA: 1\r\ntransfer-encoding: chunked\r\n\r\n')
  assert.equal(response(lines, 'none', 'close'), 'HTTP/1.1 200 \xe9t\xe9\r\nA: 1\r\nconnection: close\r\n\r\n')
  assert.equal(
    response('transfer-encoding: Chunked\r\n', 'keep', 'keep-alive'),
    'HTTP/1.1 200 \xe9t\xe9\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n',
  )
})

function rewritten(lines: string, changes: Partial<RequestChanges> = {}, version = '1.1'): string {
  const head = parseRequestHead(Buffer.from(`GET / HTTP/${version}\r\n${lines}`, 'latin1'))
  assert.ok(head.kind === 'request', JSON.stringify(head))
  return rewriteRequestHead(head, { remove: () => false, set: [], target: head.target, ...changes })
}

function response(lines: string, framing: ResponseFraming = 'keep', connection: 'close' | 'keep-alive' | null = null) {
  const head = parseResponseHead(Buffer.from(`HTTP/1.1 200 \xe9t\xe9\r\n${lines}`, 'latin1'))
  assert.ok(head.kind === 'response', JSON.stringify(head))
  return rewriteResponseHead(head, framing, connection)
}
