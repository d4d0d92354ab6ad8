/**
 * What goes out to an agent: frames of one turn together, bodies within the windows of RFC 9113 §6.9 and no faster than
 * the socket takes them. A stream that waits holds up no other.
 */
import { slice } from '../http1/write-head.ts'
import { LIMITS } from '../limits.ts'
import { CODE } from './codes.ts'
import { type Connection, closeStream, noteReset, type Stream } from './connection.ts'
import { FLAG, FRAME_BYTES, TYPE } from './frames.ts'
import { encodeFields, NO_TABLE } from './hpack-encode.ts'

/** A head, or an interim one. `end`: nothing follows it; the stream may be closed when this returns. */
export function sendHead(stream: Stream, fields: readonly string[], end: boolean): void {
  if (stream.closed) return
  const { connection, id } = stream
  let block = encodeFields(fields)
  if (!connection.encodes) block = NO_TABLE + block
  connection.encodes = true
  const flags = end ? FLAG.endStream : 0
  if (block.length <= FRAME_BYTES) send(connection, frame(TYPE.headers, flags | FLAG.endHeaders, id, block))
  else {
    send(connection, frame(TYPE.headers, flags, id, block.slice(0, FRAME_BYTES)))
    for (let at = FRAME_BYTES; at < block.length; at += FRAME_BYTES) {
      const last = at + FRAME_BYTES >= block.length
      send(connection, frame(TYPE.continuation, last ? FLAG.endHeaders : 0, id, block.slice(at, at + FRAME_BYTES)))
    }
  }
  if (end) sentEnd(stream)
}

/** The next bytes of the body, which the stream keeps; false: wait for `drained`. */
export function sendData(stream: Stream, chunk: Buffer): boolean {
  if (stream.closed || chunk.length === 0) return !isFull(stream)
  stream.queue.push(chunk)
  if (stream.queue.length === 1) pump(stream, Infinity)
  return stream.queue.length === 0
}

/** The end of the body. The stream is closed when this returns, unless bytes wait. */
export function sendEnd(stream: Stream, trailers: readonly string[]): void {
  if (stream.closed || stream.ending !== null) return
  stream.ending = trailers
  if (stream.queue.length === 0) end(stream, trailers)
}

export function isFull({ queue }: Stream): boolean {
  return queue.length > 0
}

/** Resets a stream; what of its body has not gone out never will. */
export function resetStream(stream: Stream, code: number): void {
  if (stream.closed) return
  send(stream.connection, resetFrame(stream.id, code))
  closeStream(stream, 'proxy')
}

/** For a stream that is not open. */
export function refuseStream(connection: Connection, id: number, code: number): void {
  send(connection, resetFrame(id, code))
  noteReset(connection, id, 'proxy')
}

export function sendWindow(connection: Connection, id: number, increment: number): void {
  send(connection, frame(TYPE.window, 0, id, uint32(increment)))
}

/** What we say of ourselves; all else is as it is where nothing is said. */
export function sendSettings(connection: Connection): void {
  const settings = setting(SETTING_STREAMS, LIMITS.http2Streams) + setting(SETTING_LIST_BYTES, LIMITS.headBytes)
  send(connection, frame(TYPE.settings, 0, 0, settings))
}

/** The last frame of a connection. */
export function sendGoaway(connection: Connection, code: number): void {
  send(connection, frame(TYPE.goaway, 0, 0, uint32(connection.lastStream) + uint32(code)))
}

/** A frame with a short payload, as latin1. */
export function frame(type: number, flags: number, stream: number, payload: string): string {
  return frameHead(payload.length, type, flags, stream) + payload
}

/** Goes out with what else goes out in this turn. */
export function send(connection: Connection, text: string): void {
  if (connection.ended) return
  connection.outbox.text(text)
  collect(connection, text.length)
}

/** A window has opened, or the socket takes bytes again: streams that wait send in turns. */
export function sendWaiting(connection: Connection): void {
  const { waiting } = connection
  for (let moved = true; moved; ) {
    moved = false
    for (const stream of [...waiting]) {
      if (connection.sendWindow <= 0 || isBlocked(connection)) return
      if (stream.sendWindow > 0 && sendMore(stream, FRAME_BYTES)) moved = true
    }
  }
}

/** The window of a stream has opened. True: some of what waited went out. */
export function sendMore(stream: Stream, most: number): boolean {
  const { connection, queue } = stream
  if (!connection.waiting.delete(stream)) return false
  const sent = pump(stream, most)
  if (queue.length === 0) {
    if (stream.ending === null) stream.owner.drained()
    else end(stream, stream.ending)
  }
  return sent
}

export function flush(connection: Connection): void {
  connection.flushes = false
  connection.collected = 0
  if (connection.socket.destroyed) return
  connection.outbox.flush()
  if (connection.stalled || connection.socket.writableLength <= LIMITS.http2UnreadBytes) return
  connection.stalled = true
  connection.socket.pause()
}

/** Sends at most `most` bytes of what waits; true: some went out. */
function pump(stream: Stream, most: number): boolean {
  const { connection, queue } = stream
  let left = most
  while (queue.length > 0 && left > 0) {
    const chunk = queue[0] ?? EMPTY
    const room = Math.min(stream.sendWindow, connection.sendWindow)
    if (room <= 0 || isBlocked(connection)) break
    const length = Math.min(chunk.length, room, FRAME_BYTES, left)
    left -= length
    stream.sendWindow -= length
    connection.sendWindow -= length
    send(connection, frameHead(length, TYPE.data, 0, stream.id))
    connection.outbox.bytes(slice(chunk, 0, length))
    collect(connection, length)
    if (length === chunk.length) queue.shift()
    else queue[0] = chunk.subarray(length)
  }
  if (queue.length > 0) connection.waiting.add(stream)
  return left < most
}

function end(stream: Stream, trailers: readonly string[]): void {
  if (trailers.length > 0) return sendHead(stream, trailers, true)
  send(stream.connection, frameHead(0, TYPE.data, FLAG.endStream, stream.id))
  sentEnd(stream)
}

/** The response is complete; where the request is not, the agent may stop sending it (RFC 9113 §8.1). */
function sentEnd(stream: Stream): void {
  if (stream.requestDone) closeStream(stream, null)
  else resetStream(stream, CODE.none)
}

/** Of a body nothing goes out that the socket would only keep. */
function isBlocked({ socket, ended }: Connection): boolean {
  return socket.writableNeedDrain || ended
}

/** What one turn of the event loop brings, for this connection from all origins, goes out at its end. */
function collect(connection: Connection, bytes: number): void {
  connection.collected += bytes
  if (connection.collected >= COLLECT_BYTES) return flush(connection)
  if (connection.flushes) return
  connection.flushes = true
  setImmediate(flush, connection)
}

function resetFrame(id: number, code: number): string {
  return frame(TYPE.reset, 0, id, uint32(code))
}

function frameHead(length: number, type: number, flags: number, stream: number): string {
  return String.fromCharCode(
    length >> 16,
    (length >> 8) & 255,
    length & 255,
    type,
    flags,
    stream >> 24,
    (stream >> 16) & 255,
    (stream >> 8) & 255,
    stream & 255,
  )
}

function setting(id: number, value: number): string {
  return String.fromCharCode(0, id) + uint32(value)
}

function uint32(value: number): string {
  return String.fromCharCode(value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255)
}

const SETTING_STREAMS = 3
const SETTING_LIST_BYTES = 6
const COLLECT_BYTES = 65_536
const EMPTY = Buffer.alloc(0)
