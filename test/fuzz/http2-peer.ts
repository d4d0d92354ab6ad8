/**
 * The agent's side against another implementation, nghttp2 as node:http2's client has it: whatever fields, bodies,
 * trailers and windows, both read what the other sent, and nothing waits for ever. The bytes choose what is sent.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { createConnection, type Stream } from '../../src/http2/connection.ts'
import { fieldObject } from '../../src/http2/head.ts'
import { pause, resume } from '../../src/http2/inbox.ts'
import { createIncoming } from '../../src/http2/incoming.ts'
import { sendData, sendEnd, sendHead, sendSettings, sendWaiting } from '../../src/http2/outgoing.ts'

type Message = { readonly fields: string[]; readonly body: Buffer; readonly trailers: string[] }

const PSEUDO = [':method', 'POST', ':scheme', 'https', ':authority', 'a.test']
const NAMES = ['accept', 'content-type', 'etag', 'server', 'user-agent', 'x', 'x-api-key', 'x-trace-id', 'vary', '!#$']

export const target = {
  name: 'http2-peer',
  seeds: [
    Buffer.from('a request and its answer, of few fields'),
    Buffer.from(Array.from({ length: 256 }, (_, index) => (index * 37) % 256)),
    Buffer.alloc(200, 0xfe),
  ] as readonly Buffer[],
  maximumBytes: 512,
  shortInputs: 300,
  async run(bytes: Buffer): Promise<void> {
    let at = 0
    const next = (below: number) => (bytes.length === 0 ? 0 : ((bytes[at++ % bytes.length] ?? 0) + at) % below)
    const window = [65_535, 1 + next(200), 20_000][next(3)] ?? 0
    const count = 1 + next(3)
    const requests = Array.from({ length: count }, (_, index) => {
      const { fields, body, trailers } = message(next, 140_000)
      return { fields: [...PSEUDO, ':path', `/${index}`, ...fields], body, trailers }
    })
    const answers = Array.from({ length: count }, () => {
      const { fields, body, trailers } = message(next, 64 * window)
      return { fields: [':status', ['200', '299', '404'][next(3)] ?? '', ...fields], body, trailers }
    })
    const slow = next(2) === 0
    const [near, far] = await sockets()
    const seen: Message[] = []
    const connection = createConnection(far, {
      request: (stream, { fields, cut }) => {
        assert.equal(cut, null)
        const index = Number(fields[7]?.slice(1))
        const chunks: Buffer[] = []
        stream.owner = {
          data: chunk => {
            chunks.push(chunk)
            if (!slow) return
            pause(stream)
            setImmediate(resume, stream)
          },
          end: trailers => {
            seen[index] = { fields: [...fields], body: Buffer.concat(chunks), trailers: [...trailers] }
            answer(stream, answers[index] ?? assert.fail())
          },
          drained: () => {},
          closed: () => {},
        }
        if (stream.requestDone) stream.owner.end([])
        else resume(stream)
        return true
      },
      control: () => {},
      idle: () => {},
      end: code => {
        if (code !== 0) failed(new Error(`the connection was ended with ${code}`))
        connection.ended = true
        far.end()
      },
    })
    const { promise: failure, reject: failed } = Promise.withResolvers<never>()
    const reader = createIncoming(connection)
    far.on('data', reader.push).on('drain', () => sendWaiting(connection))
    sendSettings(connection)
    const settings = { initialWindowSize: window }
    const options = { createConnection: () => near, settings, strictSingleValueFields: false }
    const client = connect('http://a.test', options)
    client.on('error', failed)
    const got = await Promise.race([failure, Promise.all(requests.map(sent => ask(client, sent)))])
    client.close()
    far.destroy()
    near.destroy()
    assert.deepEqual(seen, requests)
    assert.deepEqual(got, answers)
  },
}

function answer(stream: Stream, { fields, body, trailers }: Message): void {
  const bare = body.length === 0 && trailers.length === 0
  sendHead(stream, fields, bare)
  if (bare) return
  for (let at = 0; at < body.length; at += 7_001) sendData(stream, body.subarray(at, at + 7_001))
  sendEnd(stream, trailers)
}

/** Both ends of a connection on loopback: over a stream of JavaScript, node:http2 fails assertions of its own. */
async function sockets(): Promise<readonly [Socket, Socket]> {
  if (!server.listening) await once(server.listen(0, '127.0.0.1').unref(), 'listening')
  const near = connectTcp((server.address() as AddressInfo).port, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  near.setNoDelay(true)
  far.on('error', () => {})
  return [near, far]
}

const server = createServer({ noDelay: true })

/** Sends a request, and reads what is answered. */
async function ask(client: ClientHttp2Session, { fields, body, trailers }: Message): Promise<Message> {
  const endStream = body.length === 0 && trailers.length === 0
  const stream = client.request(fields, { endStream, waitForTrailers: trailers.length > 0 })
  const chunks: Buffer[] = []
  const got: { fields: string[]; trailers: string[] } = { fields: [], trailers: [] }
  stream.on('wantTrailers', () => stream.sendTrailers(fieldObject(trailers)))
  stream.on('response', (_headers, _flags, raw) => got.fields.push(...raw))
  stream.on('trailers', (_headers, _flags, raw) => got.trailers.push(...raw))
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (!endStream) stream.end(body)
  await new Promise((resolve, reject) => stream.on('error', reject).on('close', resolve))
  assert.equal(stream.rstCode, 0)
  return { ...got, body: Buffer.concat(chunks) }
}

/** At most `most` bytes of body. */
function message(next: (below: number) => number, most: number): Message {
  const list = () => Array.from({ length: next(6) }, () => [someName(next), someValue(next)]).flat()
  const body = Buffer.alloc(next(3) === 0 ? 0 : (next(256) * next(256) * next(256)) % most, 'body of a message')
  return { fields: list(), body, trailers: next(3) === 0 ? unique(list()) : [] }
}

function someName(next: (below: number) => number): string {
  return NAMES[next(2 * NAMES.length)] ?? `x-${next(256).toString(36)}${'y'.repeat(next(40))}`
}

/** Any byte that may stand in a field. */
function someValue(next: (below: number) => number): string {
  const chars = Array.from({ length: next(4) === 0 ? 100 * next(60) : next(30) }, () => {
    const code = next(256)
    return String.fromCharCode(code < 0x21 || code === 0x7f ? 0x2d : code)
  })
  return chars.join('')
}

/** Node's client takes trailers as an object, which brings those of one name together. */
function unique(fields: readonly string[]): string[] {
  return fields.filter((_, at) => fields.indexOf(fields[at - (at % 2)] ?? '') === at - (at % 2))
}
