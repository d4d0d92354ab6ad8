/**
 * A second opinion: whatever request head our parser accepts, llhttp (in a real node:http server) accepts too, with the
 * same method, target, version, raw fields and length of the body. The other way round we are stricter.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, METHODS } from 'node:http'
import { connect } from 'node:net'
import test from 'node:test'
import type { RequestHead } from '../../src/http1/head.ts'
import { fieldValue, STRIDE } from '../../src/http1/head.ts'
import { createRequestReader } from '../../src/http1/head-reader.ts'
import { listen } from './rig.ts'

const CASES = 9_000
const SEED = 20_260_801

type Reading = { method: string; target: string; version: string; fields: string[]; bodyBytes: number }

test(`${CASES} valid and mutated heads mean the same to llhttp where we accept them`, async t => {
  const server = createServer({ maxHeaderSize: 131_072, keepAliveTimeout: 0 })
  server.maxHeadersCount = 0
  const readings: (Reading | { refused: string })[] = []
  server.on('request', (request, response) => {
    let bodyBytes = 0
    request.on('data', chunk => {
      bodyBytes += chunk.length
    })
    request.on('end', () => {
      const { method = '', url = '', httpVersion: version, rawHeaders } = request
      readings.push({ method, target: url, version, fields: rawHeaders, bodyBytes })
      response.writeHead(200, { connection: 'close' }).end()
    })
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    readings.push({ refused: error.code ?? error.message })
    socket.destroy()
  })
  const port = await listen(server)
  t.after(() => server.close())

  const random = randomFrom(SEED)
  let accepted = 0
  for (let index = 0; index < CASES; index++) {
    const bytes = randomHead(random)
    const result = createRequestReader().push(bytes)
    if (result.kind !== 'head' || result.rest.length > 0 || !METHODS.includes(result.head.method)) continue
    const body = bodyFor(result.head)
    if (body === null) continue
    accepted += 1
    readings.length = 0
    const client = connect(port, '127.0.0.1').on('error', () => {})
    client.resume().write(Buffer.concat([bytes, Buffer.from(body.wire)]))
    await once(client, 'close')
    assert.deepEqual(readings, [readingOf(result.head, body.bytes)], JSON.stringify(bytes.toString('latin1')))
  }
  assert.ok(accepted > CASES / 10, `${accepted} were accepted`)
  assert.ok(accepted < (CASES * 9) / 10, `${accepted} were accepted`)
})

function readingOf(head: RequestHead, bodyBytes: number): Reading {
  const { method, target, version, text, table } = head
  const fields = head.names.flatMap((_, index) => [
    text.slice(table[index * STRIDE], table[index * STRIDE + 1]),
    fieldValue(head, index),
  ])
  return { method, target, version, fields, bodyBytes }
}

/** A body that ends where our framing says; null where that is too far. */
function bodyFor({ framing }: RequestHead): { wire: string; bytes: number } | null {
  if (framing.kind === 'none') return { wire: '', bytes: 0 }
  if (framing.kind === 'chunked') return { wire: '3\r\nabc\r\n0\r\n\r\n', bytes: 3 }
  return framing.length > 10_000 ? null : { wire: 'x'.repeat(framing.length), bytes: framing.length }
}

function randomHead(random: (below: number) => number): Buffer {
  const pick = (list: readonly string[]) => list[random(list.length)] ?? ''
  /** From the good ones, now and then from the bad ones. */
  const mostly = (good: readonly string[], bad: readonly string[]) => pick(random(40) === 0 ? bad : good)
  const lines = [`${mostly(METHOD, BAD_METHOD)} ${mostly(TARGET, BAD_TARGET)} ${mostly(VERSION, BAD_VERSION)}`]
  if (random(40) > 0) lines.push(`${mostly(HOST, ['Host '])}: a.test`)
  for (let count = random(6); count > 0; count--) {
    lines.push(`${mostly(NAME, BAD_NAME)}:${pick(BLANK)}${pick(VALUE)}${pick(BLANK)}`)
  }
  if (random(3) === 0) lines.push(mostly(FRAMING, BAD_FRAMING))
  let text = `${lines.join('\r\n')}\r\n\r\n`
  for (let count = random(3); count > 0; count--) {
    const at = random(text.length)
    text = text.slice(0, at) + pick(NASTY) + text.slice(at + random(3))
  }
  return Buffer.from(text, 'latin1')
}

/** mulberry32 */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const METHOD = ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD', 'QUERY', 'PROPFIND']
const BAD_METHOD = ['get', 'TRACE', 'CONNECT', 'PRI', '']
const TARGET = ['/', '/a?b=c&d', '/%20/..//x', '/"<>\\^`{|}', '/~!$&()*+,;=:@']
const BAD_TARGET = ['*', '/a#b', 'http://a/', '/é', 'a:443', '']
const VERSION = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0']
const BAD_VERSION = ['HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/0.9', '']
const HOST = ['Host', 'host', 'HOST']
const NAME = ['X-A', 'x_a', "X!#$%&'*+-.^_`|~9", 'Accept', 'Cookie', 'Connection', 'Upgrade', 'Te', 'Keep-Alive']
const BAD_NAME = ['Bad Name', '', 'Expect', 'Host']
const VALUE = ['', 'a', 'a, b', '\xe9\xff\x80', 'close', 'keep-alive', 'upgrade', 'websocket', 'x'.repeat(99), 'a\tb']
const BLANK = ['', ' ', '\t', '  \t']
const FRAMING = [
  'Content-Length: 0',
  'content-length:17 ',
  'Content-Length: 0017',
  'Content-Length:\t5\t',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: Chunked',
  'Transfer-Encoding:\tchunked\t',
]
const BAD_FRAMING = [
  'Content-Length: 5, 5',
  'Content-Length: +5',
  'Content-Length: 5\r\nContent-Length: 5',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked\r\nContent-Length: 5',
]
const NASTY = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  '\x7f',
  '\x1b',
  '\xff',
  '0',
  'Content-Length: 3',
  '\r\n ',
  '/',
  '_',
  ';',
]
