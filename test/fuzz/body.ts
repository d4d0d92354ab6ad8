/** Any bytes as a chunked body: no throw, the same end, payload and verdict however they are cut. */
import assert from 'node:assert/strict'
import { createBody, startBody, takeBody } from '../../src/http1/body.ts'

export const target = {
  name: 'body',
  seeds: [
    '5\r\nhello\r\n0\r\n\r\nGET /',
    'a;name="value";b\r\n0123456789\r\n1\r\nx\r\n0\r\nX-Trailer: one\r\nother: \xe9\r\n\r\n',
    '000F\r\n0123456789abcde\r\n0;last\r\n\r\n',
    '1fffffffffffff\r\nx',
    '0\r\nAuthorization: no\r\n\r\n',
  ].map(text => Buffer.from(text, 'latin1')) as readonly Buffer[],
  maximumBytes: 1_024,
  run(bytes: Buffer): void {
    const whole = take(bytes, bytes.length)
    for (const size of [1, 2, 7]) assert.deepEqual(take(bytes, size), whole)
  },
}

function take(bytes: Buffer, size: number) {
  const body = createBody()
  startBody(body, { kind: 'chunked' })
  let payload = ''
  let end = 0
  for (let at = 0; at < bytes.length && !body.done && body.problem === null; at += size) {
    const chunk = bytes.subarray(at, at + size)
    const taken = takeBody(body, chunk, 0, (from, start, stop) => {
      assert.ok(stop > start)
      payload += from.toString('latin1', start, stop)
    })
    if (taken >= 0) end = at + taken
    assert.ok(body.done || body.problem !== null || taken === chunk.length)
  }
  assert.equal(body.payloadBytes, payload.length)
  return body.problem === null ? { done: body.done, end, payload } : { problem: body.problem, payload }
}
