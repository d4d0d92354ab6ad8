/** Any bytes: no throw, the same result however they are cut, and a rewritten head that parses to the same request. */
import assert from 'node:assert/strict'
import type { HeadReader } from '../../src/http1/head-reader.ts'
import { createRequestReader, createResponseReader } from '../../src/http1/head-reader.ts'
import { rewriteRequestHead, rewriteResponseHead } from '../../src/http1/rewrite.ts'

export const target = {
  name: 'head',
  seeds: [
    'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    'POST /v1/messages?a=b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 12\r\nConnection: keep-alive, X-Gone\r\nX-Gone: 1\r\n\r\nrest',
    '\r\nPUT /x HTTP/1.0\r\nhost: a\r\nExpect: 100-continue\r\nX_Api_Key: \xff\r\nTE: trailers\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAlt-Svc: h3=":443"\r\n\r\nabc',
    'HTTP/1.0 404\r\nConnection: close\r\n\r\n',
  ].map(text => Buffer.from(text, 'latin1')) as readonly Buffer[],
  maximumBytes: 1_024,
  run(bytes: Buffer): void {
    const request = sameHoweverCut(createRequestReader, bytes)
    if (request?.kind === 'head') {
      const remove = (name: string) => name === 'x-api-key'
      const set = [['x-api-key', 'real']] as const
      const out = rewriteRequestHead(request.head, { remove, set, target: request.head.target })
      const again = createRequestReader().push(Buffer.from(out, 'latin1'))
      // Without a Host (HTTP/1.0) what goes out is refused by the next parser: policy has to set one.
      if (request.head.host === null) return assert.equal(again.kind, 'error')
      assert.ok(again.kind === 'head', JSON.stringify({ out, again }))
      assert.deepEqual(again.head.framing, request.head.framing)
      assert.equal(again.head.method, request.head.method)
      assert.equal(again.head.target, request.head.target)
      assert.equal(again.head.host, request.head.host)
      assert.equal(again.head.nominated.length, 0)
      assert.equal(again.head.names.filter(name => name.replaceAll('_', '-') === 'x-api-key').length, 1)
      assert.equal(again.rest.length, 0)
    }
    const response = sameHoweverCut(createResponseReader, bytes)
    if (response?.kind === 'head') {
      const out = rewriteResponseHead(response.head, 'keep', null)
      const again = createResponseReader().push(Buffer.from(out, 'latin1'))
      assert.ok(again.kind === 'head', JSON.stringify({ out, again }))
      assert.deepEqual(again.head.framing, response.head.framing)
      assert.equal(again.head.status, response.head.status)
    }
  },
}

function sameHoweverCut<H>(create: () => HeadReader<H>, bytes: Buffer) {
  const whole = create().push(bytes)
  const reader = create()
  for (let at = 0; at < bytes.length; at++) {
    const result = reader.push(bytes.subarray(at, at + 1))
    if (result.kind === 'more') continue
    // A bare LF is refused as soon as it is seen, so only the verdict must agree.
    assert.equal(result.kind, whole.kind)
    if (result.kind === 'head' && whole.kind === 'head') {
      assert.deepEqual(result.head, whole.head)
      assert.equal(bytes.length - at - 1, whole.rest.length)
    }
    return whole
  }
  assert.equal(whole.kind, 'more')
  return null
}
