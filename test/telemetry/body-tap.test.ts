/** A tap keeps what it may, and finds a stream's usage wherever the bytes are cut. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { providerById } from '../../src/providers/registry.ts'
import { createBodyTap as createTap } from '../../src/telemetry/body-tap.ts'
import { CAPTURE, kindOf } from './exchange.ts'

/** A tap that takes whole chunks. */
function createBodyTap(capture: typeof CAPTURE | null, head: string, direction: 'request' | 'response') {
  const { push, end } = createTap(capture, kindOf(head), direction)
  return { push: (chunk: Buffer) => push(chunk, 0, chunk.length), end }
}

const JSON_HEAD = 'content-type: application/json; charset=utf-8\r\n'
const SSE_HEAD = 'Date: x\r\nContent-Type: text/event-stream\r\n'
const STREAM = [
  'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":25,"output_tokens":1}}}\n\n',
  ...Array.from(
    { length: 40 },
    (_, index) => `data: {"type":"content_block_delta","delta":{"text":"say \\"usage\\" ${index} ü"}}\n\n`,
  ),
  'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":7}}\n\n',
  'event: message_delta\r\ndata: {"type":"message_delta","usage":{"output_tokens":15}}\r\n\r\n',
  'data: {"type":"message_stop"}\n\n',
].join('')

test('a body keeps its first bytes, without a copy, and is counted to its end', () => {
  const tap = createBodyTap({ ...CAPTURE, maxBytes: 5 }, JSON_HEAD, 'request')
  const chunk = Buffer.from('abc')
  for (const part of [chunk, Buffer.alloc(0), Buffer.from('defg'), Buffer.from('hi')]) tap.push(part)
  const { body, bytes, truncated, chunks } = tap.end()
  assert.equal(Buffer.concat(body).toString(), 'abcde')
  assert.equal(body[0], chunk)
  assert.deepEqual({ bytes, truncated, chunks }, { bytes: 9, truncated: true, chunks: 4 })
})

test('a stream keeps its last bytes, however small its chunks are', () => {
  for (const size of [1, 3, 7, 64]) {
    const tap = createBodyTap({ ...CAPTURE, maxBytes: 10 }, SSE_HEAD, 'response')
    const all = Buffer.from('0123456789'.repeat(500))
    for (let at = 0; at < all.length; at += size) tap.push(all.subarray(at, at + size))
    const { body, bytes, truncated } = tap.end()
    assert.equal(Buffer.concat(body).toString(), '0123456789')
    assert.deepEqual({ bytes, truncated }, { bytes: 5_000, truncated: true })
  }
})

test('a body at the cap is whole', () => {
  for (const head of [JSON_HEAD, SSE_HEAD]) {
    const tap = createBodyTap({ ...CAPTURE, maxBytes: 4 }, head, 'response')
    tap.push(Buffer.from('abcd'))
    const { body, truncated } = tap.end()
    assert.deepEqual([Buffer.concat(body).toString(), truncated], ['abcd', false])
  }
})

test('other content types and switched-off capture keep nothing', () => {
  for (const [capture, head] of [
    [CAPTURE, 'content-type: image/png\r\n'],
    [CAPTURE, ''],
    [CAPTURE, 'x-content-type: application/json\r\n'],
    [null, JSON_HEAD],
  ] as const) {
    const tap = createBodyTap(capture, head, 'response')
    tap.push(Buffer.from('abc'))
    assert.deepEqual(tap.end(), { body: [], bytes: 3, truncated: false, chunks: 1, usageEvents: [] })
  }
})

test('usage of a stream is found with the stream cut at every byte, captured or not (T114)', () => {
  const bytes = Buffer.from(STREAM)
  for (const capture of [null, { ...CAPTURE, maxBytes: 100 }]) {
    for (let cut = 0; cut <= bytes.length; cut++) {
      const tap = createBodyTap(capture, SSE_HEAD, 'response')
      tap.push(bytes.subarray(0, cut))
      tap.push(bytes.subarray(cut))
      const { usageEvents } = tap.end()
      assert.equal(usageEvents.length, 2)
      assert.deepEqual(providerById('anthropic').usageOfEvents(usageEvents), {
        inputTokens: 25,
        outputTokens: 15,
        model: 'claude-x',
      })
    }
  }
})

test('a line without an end is given up, and the next one is read again', () => {
  const tap = createBodyTap(null, SSE_HEAD, 'response')
  const usage = 'data: {"usage":{"output_tokens":3}}\n'
  tap.push(Buffer.from('data: {"usage":{"x":"'))
  for (let megabyte = 0; megabyte < 3; megabyte++) tap.push(Buffer.alloc(1_048_576, 'a'))
  tap.push(Buffer.from('data: {"usage":{"output_tokens":9}}\n')) // still that line
  assert.deepEqual(tap.end().usageEvents, [])
  tap.push(Buffer.from(usage))
  assert.deepEqual(tap.end().usageEvents, ['{"usage":{"output_tokens":3}}'])
})

test('a compressed stream is not scanned', () => {
  const tap = createBodyTap(null, `${SSE_HEAD}content-encoding: gzip\r\n`, 'response')
  tap.push(Buffer.from(STREAM))
  assert.deepEqual(tap.end().usageEvents, [])
})
