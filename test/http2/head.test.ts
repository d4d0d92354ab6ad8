import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  allowedTrailers,
  fieldObject,
  requestFields,
  requestHeadOf,
  responseFields,
  responseHeadOf,
} from '../../src/http2/head.ts'

const PSEUDO = [':method', 'POST', ':scheme', 'https', ':authority', 'a.test', ':path', '/x?y']

test('a list becomes the HTTP/1.1 head that means the same, and back', () => {
  const head = requestHeadOf([
    ...PSEUDO,
    'x-b',
    '1',
    'x-a',
    '\xff',
    'x-b',
    '',
    'cookie',
    'a=1',
    'te',
    'trailers',
    'cookie',
    'b=2',
  ])
  const lines = 'x-b: 1\r\nx-a: \xff\r\nx-b: \r\nte: trailers\r\ncookie: a=1; b=2\r\n'
  assert.equal(head.kind, 'request')
  assert.equal('text' in head && head.text, `POST /x?y HTTP/1.1\r\nhost: a.test\r\n${lines}`)
  assert.deepEqual(requestFields('POST /x?y HTTP/1.1\r\nHost: a.test\r\nX-B: 1\r\nx-key: \t real \r\n\r\n', true), [
    ...PSEUDO,
    ...['x-b', '1', 'x-key', 'real', 'te', 'trailers'],
  ])
})

// T26: HPACK carries any byte; none of these makes a second line or a second request.
for (const [what, raw] of [
  ['CR LF in a value', [...PSEUDO, 'x-a', '1\r\nx-api-key: foreign']],
  ['LF in a value', [...PSEUDO, 'x-a', '1\nx: y']],
  ['CR in a value', [...PSEUDO, 'x-a', '1\rx']],
  ['NUL in a value', [...PSEUDO, 'x-a', '1\0']],
  ['a whole line as a name', [...PSEUDO, 'x-a: 1\r\nx-b', '1']],
  ['a space in a name', [...PSEUDO, 'x a', '1']],
  ['an empty name', [...PSEUDO, '', '1']],
  ['a request line in :path', [...PSEUDO.slice(0, 6), ':path', '/ HTTP/1.1\r\nx: y']],
  ['a line in :authority', [...PSEUDO.slice(0, 4), ':authority', 'a.test\r\nx: y', ':path', '/']],
  ['a head in :method', [':method', 'GET / HTTP/1.1\r\nx: y\r\n', ...PSEUDO.slice(2)]],
  ['a fragment in :path', [...PSEUDO.slice(0, 6), ':path', '/a#b']],
  ['an absolute :path', [...PSEUDO.slice(0, 6), ':path', 'https://b.test/']],
  ['no :path', PSEUDO.slice(0, 6)],
  ['no :authority and no Host', [...PSEUDO.slice(0, 4), ...PSEUDO.slice(6)]],
  ['a Host that differs', [...PSEUDO, 'host', 'b.test']],
  ['two Hosts', [...PSEUDO, 'host', 'a.test', 'host', 'a.test']],
  ['another scheme', [':method', 'GET', ':scheme', 'http', ...PSEUDO.slice(4)]],
  ['transfer-encoding', [...PSEUDO, 'transfer-encoding', 'chunked']],
  ['connection', [...PSEUDO, 'connection', 'x-api-key']],
  ['two lengths', [...PSEUDO, 'content-length', '1', 'content-length', '2']],
  ['a length that is none', [...PSEUDO, 'content-length', '+1']],
  ['an unknown pseudo-header', [...PSEUDO, ':protocol', 'websocket']],
] as const) {
  test(`refused: ${what}`, () => {
    const head = requestHeadOf(raw)
    assert.deepEqual([head.kind, 'code' in head && head.code], ['error', 'CLRK_HTTP_MALFORMED'])
  })
}

test('CONNECT, TRACE and TRACK are no methods here', () => {
  for (const raw of [
    [':method', 'CONNECT', ':authority', 'a.test:443'],
    [':method', 'TRACE', ...PSEUDO.slice(2)],
  ]) {
    const head = requestHeadOf(raw)
    assert.equal('code' in head && head.code, 'CLRK_METHOD_NOT_ALLOWED')
  }
})

test('a response list is read by the same parser, and loses its reason phrase', () => {
  const head = responseHeadOf([':status', '299', 'x-a', '\x80', 'set-cookie', 'b', 'set-cookie', 'a'])
  assert.equal('text' in head && head.text, 'HTTP/1.1 299 \r\nx-a: \x80\r\nset-cookie: b\r\nset-cookie: a\r\n')
  assert.deepEqual(responseFields('HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n'), [':status', '200', 'x-a', '1'])
  for (const raw of [
    [],
    [':status', '99'],
    [':status', '200', 'x', 'a\r\nb: c'],
    [':status', '200', 'connection', 'x'],
  ]) {
    const refused = responseHeadOf(raw)
    assert.equal('code' in refused && refused.code, 'CLRK_UPSTREAM_MALFORMED')
  }
})

test('trailers: none that frames, routes or authenticates, in any spelling', () => {
  // T30
  const raw = [
    'x-sum',
    '1',
    'Content-Length',
    '1',
    'authorization',
    'x',
    'x_api_key',
    'x',
    'grpc-status',
    '0',
    'x',
    '\r\n',
    '',
    'x',
  ]
  assert.deepEqual(
    allowedTrailers([...raw, 'transfer_encoding', 'chunked', ':path', '/'], name => name === 'x-api-key'),
    ['x-sum', '1', 'grpc-status', '0'],
  )
})

test('no field name can meet a prototype', () => {
  const object = fieldObject(['__proto__', 'a', 'constructor', 'b', 'x', '1', 'x', '2', 'x', '3'])
  assert.deepEqual(Object.entries(object), [
    ['__proto__', 'a'],
    ['constructor', 'b'],
    ['x', ['1', '2', '3']],
  ])
})
