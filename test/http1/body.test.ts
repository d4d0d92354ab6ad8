import assert from 'node:assert/strict'
import test from 'node:test'
import type { Body, BodyFraming } from '../../src/http1/body.ts'
import { createBody, startBody, takeBody } from '../../src/http1/body.ts'
import { LIMITS } from '../../src/limits.ts'

const CHUNKED: BodyFraming = { kind: 'chunked' }
const GOOD = '5\r\nhello\r\nA;name="v\t~";x\r\n0123456789\r\n0\r\nX-Sum: \xe9\r\nother:\r\n\r\n'

test('a chunked body cut at every byte ends at the same byte, with the same payload', () => {
  const bytes = Buffer.from(`${GOOD}GET /`, 'latin1')
  for (let cut = 0; cut <= bytes.length; cut++) {
    const taken = read([bytes.subarray(0, cut), bytes.subarray(cut)])
    assert.deepEqual({ end: taken.end, payload: taken.payload }, { end: GOOD.length, payload: 'hello0123456789' })
    assert.equal(taken.body.payloadBytes, 15)
  }
  const oneByOne = read(Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1)))
  assert.equal(oneByOne.end, GOOD.length)
  assert.equal(oneByOne.payload, 'hello0123456789')
})

test('payload is handed over in place, not copied', () => {
  const bytes = Buffer.from('5\r\nhello\r\n0\r\n\r\n')
  const body = createBody()
  startBody(body, CHUNKED)
  const seen: [Buffer, number, number][] = []
  takeBody(body, bytes, 0, (chunk, from, to) => seen.push([chunk, from, to]))
  assert.equal(seen.length, 1)
  assert.equal(seen[0]?.[0], bytes)
  assert.deepEqual(seen[0]?.slice(1), [3, 8])
})

test('a body with a length ends there, one until close never', () => {
  const bytes = Buffer.from('helloGET /')
  assert.equal(read([bytes], { kind: 'length', length: 5 }).end, 5)
  assert.equal(read([bytes.subarray(0, 3), bytes.subarray(3)], { kind: 'length', length: 5 }).payload, 'hello')
  assert.equal(read([bytes], { kind: 'length', length: 0 }).body.done, true)
  assert.equal(read([bytes], { kind: 'none' }).end, 0)
  const endless = read([bytes], { kind: 'until-close' })
  assert.deepEqual([endless.end, endless.body.done, endless.body.payloadBytes], [10, false, 10])
})

const BAD: Readonly<Record<string, readonly string[]>> = {
  'a chunk size is not a hexadecimal number': [
    '\r\n',
    ' 5\r\n',
    '5 \r\n',
    '+5\r\n',
    '0x5\r\n',
    '-1\r\n',
    '5\n',
    'g\r\n',
    ';x\r\n',
    '5\t;x',
  ],
  'a chunk is too large': ['20000000000000\r\n', 'fffffffffffffff\r\n', '000000000000005\r\n'],
  'a chunk-size line does not end with CRLF': ['5\rhello', '5;x\rhello', '0\r\r\n'],
  'a chunk extension has a forbidden character': ['5;a\nb\r\n', '5;a\0\r\n', '5;\x7f\r\n', '5;\xe9\r\n', '5;\x1b\r\n'],
  'a chunk is longer than its size': ['5\r\nhello!\r\n', '5\r\nhello\n0'],
  'a chunk does not end with CRLF': ['5\r\nhello\rX'],
  'a trailer line does not begin with a name and a colon': [
    '0\r\n folded: x\r\n',
    '0\r\nname : x',
    '0\r\n: x',
    '0\r\nna\0me',
    '0\r\n\nx',
  ],
  'a trailer value has a control character': ['0\r\nx: a\nb', '0\r\nx: \0', '0\r\nx: \x1b'],
  'a trailer line does not end with CRLF': ['0\r\nx: a\rb'],
  'the trailers do not end with CRLF': ['0\r\n\rx'],
}

for (const [problem, bodies] of Object.entries(BAD)) {
  test(`refused: ${problem}`, () => {
    // T25, T28, T29
    for (const text of bodies) {
      const bytes = Buffer.from(text, 'latin1')
      assert.equal(read([bytes]).body.problem, problem, JSON.stringify(text))
      const oneByOne = read(Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1)))
      assert.equal(oneByOne.body.problem, problem, JSON.stringify(text))
    }
  })
}

test('no trailer frames, routes or authenticates, nor carries what policy removes', () => {
  // T30
  const names = [
    'Authorization',
    'CONTENT-LENGTH',
    'transfer-encoding',
    'Host',
    'cookie',
    'Set-Cookie',
    'proxy_authorization',
    'if-match',
    'x-api-key',
    'X_Api_Key',
  ]
  for (const name of names) {
    const bytes = Buffer.from(`0\r\n${name}: secret\r\n\r\n`)
    const taken = read([bytes.subarray(0, 6), bytes.subarray(6)], CHUNKED, lowerName => lowerName === 'x-api-key')
    assert.equal(taken.body.problem, 'a trailer field may not be sent as a trailer', name)
    assert.equal(taken.end, 6)
  }
  assert.equal(read([Buffer.from('0\r\nX-Checksum: 1\r\ngrpc-status: 0\r\n\r\n')]).body.done, true)
})

test('limits: chunk-size lines, extensions and trailers', () => {
  // T28
  const problemOf = (text: string) => read([Buffer.from(text)]).body.problem
  assert.equal(problemOf(`5;${'x'.repeat(LIMITS.chunkLineBytes)}`), 'a chunk-size line is too long')
  const chunk = `1;${'x'.repeat(1_000)}\r\na\r\n`
  assert.equal(problemOf(chunk.repeat(LIMITS.chunkExtensionBytes / 1_000)), null)
  assert.equal(problemOf(chunk.repeat(LIMITS.chunkExtensionBytes / 1_000 + 1)), 'there are too many chunk extensions')
  assert.equal(problemOf(`0\r\nx: ${'x'.repeat(LIMITS.trailerBytes)}`), 'the trailers are too long')
  assert.equal(problemOf(`0\r\n${'x:\r\n'.repeat(LIMITS.headerFields + 1)}`), 'there are too many trailers')
})

test('a largest chunk is counted exactly', () => {
  const { body } = read([Buffer.from('1fffffffffffff\r\nabc')])
  assert.equal(body.problem, null)
  assert.equal(body.left, Number.MAX_SAFE_INTEGER - 3)
})

/** Takes `chunks` in order; `end` counts the bytes that belonged to the body over all of them. */
function read(chunks: readonly Buffer[], framing = CHUNKED, refusesTrailer?: Body['refusesTrailer']) {
  const body = createBody()
  startBody(body, framing, refusesTrailer)
  let end = 0
  let payload = ''
  for (const chunk of chunks) {
    if (body.done) break
    const taken = takeBody(body, chunk, 0, (bytes, from, to) => {
      payload += bytes.toString('latin1', from, to)
    })
    if (taken < 0) break
    end += taken
  }
  return { body, end, payload }
}
