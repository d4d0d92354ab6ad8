import assert from 'node:assert/strict'
import test from 'node:test'
import { fieldValues, parseRequestHead, parseResponseHead } from '../../src/http1/head.ts'
import type { HeadReader } from '../../src/http1/head-reader.ts'
import { createRequestReader, createResponseReader } from '../../src/http1/head-reader.ts'
import { LIMITS } from '../../src/limits.ts'

const request = (text: string) => createRequestReader().push(Buffer.from(text, 'latin1'))
const response = (text: string) => createResponseReader().push(Buffer.from(text, 'latin1'))
const withField = (line: string) => `GET / HTTP/1.1\r\nHost: a.test\r\n${line}\r\n\r\n`

const REFUSED_LINES = {
  'the request line does not begin with a method': [
    ' / HTTP/1.1',
    '\0 / HTTP/1.1',
    'G\x1bT / HTTP/1.1',
    'G(T / HTTP/1.1',
    'GET',
  ],
  'the request target is malformed': [
    'GET  / HTTP/1.1',
    'GET /a#b HTTP/1.1',
    'GET /ä HTTP/1.1',
    'GET /\x7f HTTP/1.1',
    'GET /\0 HTTP/1.1',
    'GET /\t HTTP/1.1',
    'GET /',
  ],
  'the request line does not end with HTTP/1.1 or HTTP/1.0': [
    'GET / HTTP/1.2',
    'GET / HTTP/2.0',
    'GET / http/1.1',
    'GET / HTTP/1.1 ',
    'GET /a b HTTP/1.1',
    'GET / HTTP/1.11',
    'GET / HTTP/1.1\r',
  ],
  'the request target does not begin with a slash': [
    'GET a HTTP/1.1',
    'GET * HTTP/1.1',
    'GET a.test:443 HTTP/1.1',
    'GET ftp://a/ HTTP/1.1',
  ],
  'absolute-form refused': ['GET http://a.test/ HTTP/1.1', 'GET HTTPS://a.test/ HTTP/1.1'],
}

for (const [reason, lines] of Object.entries(REFUSED_LINES)) {
  test(`refused: ${reason}`, () => {
    // T08, T41, T132
    for (const line of lines) {
      const result = request(`${line}\r\nHost: a.test\r\n\r\n`)
      assert.deepEqual(
        result,
        { kind: 'error', code: 'CLRK_HTTP_MALFORMED', details: { reason } },
        JSON.stringify(line),
      )
    }
  })
}

const REFUSED_FIELDS = {
  'there is more than one Host': ['host: a.test', 'HOST: b.test'], // T09
  'a header line does not begin with a name and a colon': [
    ' folded: 1',
    'X: 1\r\n\tfolded',
    'Name : 1',
    'na me: 1',
    ': 1',
    'x',
    'n\0: 1',
    'n\x1b: 1',
    'nä: 1',
    'n\x7f: 1',
  ], // T29, T132
  'a header value has a control character': ['x: a\rb', 'x: a\0b', 'x: a\x1bb', 'x: a\x7fb', 'x: \x08', 'x: a\r\r'],
  'there are both Content-Length and Transfer-Encoding': [
    'Content-Length: 1\r\nTransfer-Encoding: chunked',
    'transfer-encoding: chunked\r\ncontent-length: 0',
  ], // T25
  'there is more than one Content-Length': [
    'Content-Length: 1\r\nContent-Length: 1',
    'Content-Length: 1\r\ncontent-length: 2',
  ],
  'Content-Length is not a number of bytes': [
    '+1',
    '-1',
    '1, 1',
    '0x1',
    '1 1',
    '',
    '1.0',
    '9007199254740992',
    '00000000000000001',
    '٣',
  ].map(value => `Content-Length: ${value}`),
  'there is more than one Transfer-Encoding': ['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'],
  'Transfer-Encoding is not chunked': [
    'gzip, chunked',
    'chunked, identity',
    'chunked, chunked',
    'identity',
    'xchunked',
    '',
    'chunked;a=b',
    'chunked\t',
    'chunked \t ',
    '"chunked"',
  ].map(value => `Transfer-Encoding: ${value}`),
  'Connection is not a list of names': ['Connection: a b', 'Connection: close; x', 'Connection: "close"'],
  'Expect is not 100-continue': ['Expect: 200-ok', 'Expect: 100-continue, x'],
}

for (const [reason, lines] of Object.entries(REFUSED_FIELDS)) {
  test(`refused: ${reason}`, () => {
    for (const line of lines) {
      const result = request(withField(Buffer.from(line).toString('latin1')))
      assert.deepEqual(
        result,
        { kind: 'error', code: 'CLRK_HTTP_MALFORMED', details: { reason } },
        JSON.stringify(line),
      )
    }
  })
}

test('refused in HTTP/1.0 and for want of a Host', () => {
  const reasonOf = (text: string) => {
    const result = request(text)
    return result.kind === 'error' ? result.details.reason : result.kind
  }
  assert.equal(
    reasonOf('POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'),
    'Transfer-Encoding does not exist in HTTP/1.0',
  )
  assert.equal(reasonOf('GET / HTTP/1.1\r\nX: y\r\n\r\n'), 'Host is missing')
  assert.equal(reasonOf('GET / HTTP/1.0\r\n\r\n'), 'head')
})

test('CONNECT, TRACE and TRACK are refused in any case', () => {
  // T35, T39
  for (const method of ['CONNECT', 'TRACE', 'TRACK', 'trace', 'Connect']) {
    const result = request(`${method} a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    assert.deepEqual(result, { kind: 'error', code: 'CLRK_METHOD_NOT_ALLOWED', details: { method } })
  }
})

test('a bare LF is refused before the head is complete', () => {
  // T29
  for (const text of ['GET / HTTP/1.1\nHost: a\n\n', 'GET / HTTP/1.1\r\nHost: a\n', '\n']) {
    const reason = 'a line of the head does not end with CRLF'
    assert.deepEqual(request(text), { kind: 'error', code: 'CLRK_HTTP_MALFORMED', details: { reason } })
  }
})

test('one empty line before a request is skipped, a second is refused, before a response even one', () => {
  assert.equal(request('\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n').kind, 'head')
  assert.equal(request('\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n').kind, 'error')
  assert.equal(response('\r\nHTTP/1.1 200 OK\r\n\r\n').kind, 'error')
})

test('what the head says comes out', () => {
  const result = request(
    'POST /v1/x?q=%20 HTTP/1.1\r\nHost:\ta.test:8443 \r\nConnection: Keep-Alive, X-One,,upgrade\r\nContent-Length: 007\r\nUpgrade: WebSocket\r\nExpect: 100-Continue\r\nX-Two: 1\r\nx-two:\xff\xe9\r\n__proto__: 1\r\n\r\nrest',
  )
  assert.ok(result.kind === 'head')
  const { head, rest } = result
  assert.equal(head.method, 'POST')
  assert.equal(head.target, '/v1/x?q=%20')
  assert.equal(head.version, '1.1')
  assert.equal(head.host, 'a.test:8443')
  assert.deepEqual(head.framing, { kind: 'length', length: 7 })
  assert.equal(head.keepAlive, true)
  assert.deepEqual(head.nominated, ['x-one', 'upgrade'])
  assert.equal(head.upgrade, 'websocket')
  assert.equal(head.expectContinue, true)
  assert.deepEqual(fieldValues(head, 'x-two'), ['1', '\xff\xe9'])
  assert.deepEqual(fieldValues(head, '__proto__'), ['1']) // T108
  assert.equal(rest.toString(), 'rest')
})

test('keep-alive follows the version and Connection', () => {
  const keeps = (version: string, line: string) => {
    const result = request(`GET / HTTP/${version}\r\nHost: a\r\n${line}\r\n`)
    return result.kind === 'head' && result.head.keepAlive
  }
  assert.equal(keeps('1.1', ''), true)
  assert.equal(keeps('1.1', 'Connection: close\r\n'), false)
  assert.equal(keeps('1.1', 'Connection: keep-alive\r\nConnection: x, CLOSE\r\n'), false)
  assert.equal(keeps('1.0', ''), false)
  assert.equal(keeps('1.0', 'Connection: keep-alive\r\n'), true)
})

const HEADS: readonly (readonly [string, () => HeadReader<object>])[] = [
  ['\r\nPOST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nX: \xff\r\n\r\nbody', createRequestReader],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', createResponseReader],
]

for (const [text, create] of HEADS) {
  test(`a head cut at every byte reads the same: ${text.trimStart().split(' ')[0]}`, () => {
    const bytes = Buffer.from(text, 'latin1')
    const whole = create().push(bytes)
    assert.ok(whole.kind === 'head')
    const end = bytes.length - whole.rest.length
    for (let cut = 1; cut < end; cut++) {
      const reader = create()
      assert.equal(reader.push(bytes.subarray(0, cut)).kind, 'more')
      assert.equal(reader.pending(), cut)
      assert.deepEqual(reader.push(bytes.subarray(cut)), whole)
      assert.equal(reader.pending(), 0)
    }
    const reader = create()
    for (let at = 0; at < end - 1; at++) assert.equal(reader.push(bytes.subarray(at, at + 1)).kind, 'more')
    assert.deepEqual(reader.push(bytes.subarray(end - 1)), whole)
  })
}

test('limits: bytes of a head and number of fields', () => {
  const line = 'GET / HTTP/1.1\r\nHost: a\r\nX: '
  const fits = line + 'x'.repeat(LIMITS.headBytes - line.length - 4)
  const tooLarge = { kind: 'error', code: 'CLRK_HEAD_TOO_LARGE', details: { limit: LIMITS.headBytes } }
  assert.equal(request(`${fits}\r\n\r\n`).kind, 'head')
  assert.deepEqual(request(`${fits}x\r\n\r\n`), tooLarge)
  assert.deepEqual(request(`${fits}xxxxx`), tooLarge)
  const oneByOne = createRequestReader()
  let result = oneByOne.push(Buffer.from('G'))
  for (let sent = 1; result.kind === 'more' && sent <= LIMITS.headBytes; sent++)
    result = oneByOne.push(Buffer.from('x'))
  assert.deepEqual(result, tooLarge)
  assert.equal(request(withField('x: 1\r\n'.repeat(LIMITS.headerFields - 1).trimEnd())).kind, 'head')
  assert.equal(request(withField('x: 1\r\n'.repeat(LIMITS.headerFields).trimEnd())).kind, 'error')
})

test('a response head is as strict', () => {
  // T130
  const refused = [
    'HTTP/1.1 099 No',
    'HTTP/1.1 600 No',
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000',
    'HTTP/1.1  200 OK',
    'HTTP/2 200',
    'ICY 200 OK',
    'HTTP/1.1 200 a\0b',
    'HTTP/1.1 200 a\rb',
    'HTTP/1.1 200 \x1b[2J',
    'HTTP/1.1 200OK',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked',
    'HTTP/1.1 200 OK\r\nX : 1',
    'HTTP/1.1 200 OK\r\nX\x1b: 1',
    'HTTP/1.1 200 OK\r\nX: 1\r\n folded',
  ]
  for (const text of refused) {
    const result = response(`${text}\r\n\r\n`)
    assert.equal(result.kind === 'error' && result.code, 'CLRK_UPSTREAM_MALFORMED', JSON.stringify(text))
  }
  for (const text of ['HTTP/1.1 200 OK', 'HTTP/1.1 200 ', 'HTTP/1.1 200', 'HTTP/1.0 599 \xe9t\xe9']) {
    assert.equal(response(`${text}\r\n\r\n`).kind, 'head', JSON.stringify(text))
  }
})

test('the parsers refuse bytes that do not end a line', () => {
  for (const text of ['', '\r', 'GET / HTTP/1.1', 'GET / HTTP/1.1\r\nHost: a']) {
    assert.equal(parseRequestHead(Buffer.from(text)).kind, 'error')
    assert.equal(parseResponseHead(Buffer.from(text)).kind, 'error')
  }
})
