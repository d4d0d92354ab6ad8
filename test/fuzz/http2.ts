/**
 * Any bytes as an agent's side of a connection: no throw, the same requests, bytes, resets and end however they are cut,
 * no body that is longer than its Content-Length, whole frames in answer, and GOAWAY as the last one where it ends.
 */
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { closeStream, createConnection } from '../../src/http2/connection.ts'
import { resume } from '../../src/http2/inbox.ts'
import { createIncoming } from '../../src/http2/incoming.ts'
import { flush, sendData, sendEnd, sendGoaway, sendHead } from '../../src/http2/outgoing.ts'
import { LIMITS } from '../../src/limits.ts'
import { block, END_HEADERS, END_STREAM, frame, PREFACE, request, TYPE, uint32 } from '../http2/frames.ts'

const SETTINGS = frame(TYPE.settings, 0, 0)
const LENGTH = [['content-length', '3']] as const

export const target = {
  name: 'http2',
  seeds: [
    [frame(TYPE.headers, END_HEADERS | END_STREAM, 1, request('a.test'))],
    [
      frame(TYPE.headers, END_HEADERS, 1, request('a.test', LENGTH)),
      frame(TYPE.data, 0, 1, Buffer.from('ab')),
      frame(TYPE.data, 8, 1, Buffer.from([3, 0x63, 0, 0, 0])),
      frame(TYPE.headers, END_HEADERS | END_STREAM, 1, block([['x-sum', '1']])),
    ],
    [
      frame(TYPE.headers, END_STREAM, 1, request('a.test').subarray(0, 20)),
      frame(TYPE.continuation, END_HEADERS, 1, request('a.test').subarray(20)),
      frame(TYPE.headers, END_HEADERS | 32, 3, Buffer.concat([Buffer.from([0, 0, 0, 1, 9]), request('a.test')])),
      frame(TYPE.reset, 0, 3, uint32(8)),
      frame(TYPE.window, 0, 1, uint32(7)),
      frame(2, 0, 5, Buffer.from([0, 0, 0, 1, 9])),
      frame(99, 255, 5, Buffer.from('unknown')),
    ],
    [
      frame(TYPE.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(5)])),
      frame(TYPE.settings, 1, 0),
      frame(TYPE.headers, END_HEADERS | END_STREAM, 1, request('a.test')),
      frame(TYPE.window, 0, 1, uint32(3)),
      frame(TYPE.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(2), Buffer.from([0, 4]), uint32(90)])),
      frame(TYPE.window, 0, 0, uint32(0x7fff0000)),
      frame(TYPE.goaway, 0, 0, uint32(0, 0)),
    ],
  ].map(frames => Buffer.concat([PREFACE, SETTINGS, ...frames, frame(TYPE.ping, 0, 0, uint32(1, 2))])),
  maximumBytes: 2_048,
  run(bytes: Buffer): void {
    const whole = serve(bytes, bytes.length)
    for (const size of [1, 5, 17]) assert.deepEqual(serve(bytes, size), whole)
  },
}

/** Serves `bytes` in pieces; every request is answered when it is complete. What happened, by stream and in all. */
function serve(bytes: Buffer, size: number) {
  const out: Buffer[] = []
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      out.push(chunk)
      done()
    },
  })
  const streams: Record<number, string[]> = {}
  let ended = -1
  const connection = createConnection(socket, {
    request: (stream, { fields, cut }, bodyless) => {
      const seen = [...fields, String(cut), String(bodyless)]
      let body = ''
      streams[stream.id] = seen
      const length = fields[fields.indexOf('content-length') + 1] ?? ''
      if (fields.includes('content-length') && /^[0-9]{1,9}$/.test(length)) stream.expected = Number(length)
      const answer = () => {
        assert.ok(stream.expected < 0 || bodyless || stream.expected === body.length)
        sendHead(stream, [':status', '200'], false)
        sendData(stream, Buffer.from('0123456789'))
        sendEnd(stream, ['x-sum', '1'])
      }
      stream.owner = {
        data: chunk => {
          body += chunk.toString('latin1')
          assert.ok(stream.expected < 0 || body.length <= stream.expected)
        },
        end: trailers => {
          seen.push('end', body, ...trailers) // of a body that is cut off, as much may have passed as had come
          answer()
        },
        drained: () => seen.push('drained'),
        closed: () => seen.push('closed'),
      }
      if (bodyless) answer()
      else resume(stream)
      return true
    },
    control: () => {}, // each piece of a frame may count
    idle: () => {},
    end: code => {
      if (connection.ended) return
      reader.stop()
      sendGoaway(connection, code)
      flush(connection)
      connection.ended = true
      for (const stream of connection.streams.values()) closeStream(stream, null)
      ended = code
    },
  })
  const reader = createIncoming(connection)
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size))
  flush(connection)
  assert.ok(connection.streams.size <= LIMITS.http2Streams)
  const written = Buffer.concat(out)
  const types: number[] = []
  let at = 0
  for (; at < written.length; at += 9 + written.readUIntBE(at, 3)) types.push(written[at + 3] ?? 0)
  assert.equal(at, written.length)
  assert.deepEqual(types.indexOf(TYPE.goaway), ended < 0 ? -1 : types.length - 1)
  return { streams, ended, open: connection.streams.size, written: written.toString('latin1') }
}
