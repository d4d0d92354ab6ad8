/**
 * What an agent sends in a request's body: handed to the stream's owner, or kept until it takes it, which the stream's
 * window bounds. The window is opened by what is taken, so that a slow origin stops the agent (RFC 9113 §6.9).
 */
import { slice } from '../http1/write-head.ts'
import type { Connection, Stream } from './connection.ts'
import { WINDOW_BYTES } from './connection.ts'
import { sendWindow } from './outgoing.ts'

/** `bytes[from, to)` has come; `padding` more bytes count. Whether they may come has been checked. */
export function deliver(stream: Stream, bytes: Buffer, from: number, to: number, padding: number): void {
  stream.taken += padding
  if (padding > 0) openWindow(stream)
  if (stream.paused || stream.inbox.length > 0) keep(stream, bytes, from, to)
  else if (to > from) hand(stream, slice(bytes, from, to))
  tellEnd(stream)
}

/** The owner takes no bytes until `resume`. */
export function pause(stream: Stream): void {
  stream.paused = true
}

export function resume(stream: Stream): void {
  stream.paused = false
  while (!stream.paused && !stream.closed) {
    const last = stream.inbox.length === 1
    const chunk = stream.inbox.shift()
    if (chunk === undefined) break
    const free = last ? stream.spare : 0
    if (last) stream.spare = 0
    hand(stream, free === 0 ? chunk : chunk.subarray(0, -free))
  }
  openWindow(stream)
  tellEnd(stream)
}

/** Bytes of the connection are taken as they come: a stream whose owner takes none holds up no other. */
export function tookOfConnection(connection: Connection, bytes: number): void {
  connection.taken += bytes
  if (connection.taken < WINDOW_BYTES / 2) return
  connection.receiveWindow += connection.taken
  sendWindow(connection, 0, connection.taken)
  connection.taken = 0
}

function hand(stream: Stream, chunk: Buffer): void {
  stream.taken += chunk.length
  stream.owner.data(chunk)
  openWindow(stream)
}

/** Not while the owner has too much of it already. */
function openWindow(stream: Stream): void {
  if (stream.closed || stream.requestDone || stream.paused || stream.taken < WINDOW_BYTES / 2) return
  stream.receiveWindow += stream.taken
  sendWindow(stream.connection, stream.id, stream.taken)
  stream.taken = 0
}

function tellEnd(stream: Stream): void {
  if (!stream.requestDone || stream.endTold || stream.closed || stream.paused || stream.inbox.length > 0) return
  stream.endTold = true
  stream.owner.end(stream.trailers)
}

/** Small pieces are copied together: one byte a frame would cost a buffer of its own. */
function keep(stream: Stream, bytes: Buffer, from: number, to: number): void {
  const { inbox } = stream
  let at = from
  if (stream.spare > 0) {
    const last = inbox.at(-1) ?? bytes
    const copied = bytes.copy(last, last.length - stream.spare, at, Math.min(to, at + stream.spare))
    stream.spare -= copied
    at += copied
  }
  if (at === to) return
  if (to - at >= BLOCK_BYTES) return void inbox.push(bytes.subarray(at, to))
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  stream.spare = BLOCK_BYTES - bytes.copy(block, 0, at, to)
  inbox.push(block)
}

const BLOCK_BYTES = 4_096
