/** Compressed bodies are read within bounds; what cannot be decoded is null, never an error. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { decodeBody } from '../../src/telemetry/decode.ts'

const TEXT = Buffer.from('{"usage":{"input_tokens":8}} '.repeat(40))

for (const [encoding, body] of [
  ['gzip', gzipSync(TEXT)],
  ['x-gzip', gzipSync(TEXT)],
  ['GZIP', gzipSync(TEXT)],
  ['br', brotliCompressSync(TEXT)],
  ['zstd', zstdCompressSync(TEXT)],
  ['deflate', deflateSync(TEXT)],
  ['deflate', deflateRawSync(TEXT)],
  ['gzip, br', brotliCompressSync(gzipSync(TEXT))],
  ['identity', TEXT],
  ['', TEXT],
] as const) {
  test(`«${encoding}» is undone`, () => assert.deepEqual(decodeBody(body, encoding), TEXT))
}

test('damaged, cut or unknown codings are null', () => {
  const gzip = gzipSync(TEXT)
  for (let length = 0; length < gzip.length; length++) assert.equal(decodeBody(gzip.subarray(0, length), 'gzip'), null)
  assert.equal(decodeBody(TEXT, 'br'), null)
  assert.equal(decodeBody(TEXT, 'compress'), null)
  assert.equal(decodeBody(TEXT, 'identity,gzip,gzip,gzip,gzip,gzip'), null)
})

test('a bomb is null: past a ratio, past 16 MiB (T51)', () => {
  const zeros = Buffer.alloc(32_000_000)
  for (const [encoding, body] of [
    ['gzip', gzipSync(zeros)],
    ['br', brotliCompressSync(zeros)],
    ['zstd', zstdCompressSync(zeros)],
    ['deflate', deflateSync(zeros)],
    ['gzip, gzip', gzipSync(gzipSync(zeros))],
    ['gzip', gzipSync(zeros.subarray(0, 8_000_000))],
    ['br', brotliCompressSync(zeros.subarray(0, 8_000_000))],
  ] as const) {
    assert.ok(decodeBody(body, encoding) === null, `${encoding} ${body.length}`)
  }
})
