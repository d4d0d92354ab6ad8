/**
 * Takes credentials out of the messages of a WebSocket origin (RFC 6455 §5). Its frames come unmasked; they keep their
 * order, their number and their lengths. A message is one stream, however it is cut into frames; what it holds back never
 * waits for another message.
 */
import { clrkError } from '../errors.ts'
import type { Scrubber } from './scrub.ts'

/**
 * A function from the origin's bytes to those that may go out. Throws CLRK_UPSTREAM_MALFORMED at what no client may get:
 * reserved bits (an extension that was not asked for could hide an echo), a masked frame, a control frame of more than
 * one frame or 125 bytes, frames of two messages in one another.
 */
export function createFrameScrubber(create: () => Scrubber, host: string): (chunk: Buffer) => Buffer {
  const message = create()
  const control = create()
  let header = EMPTY
  let open = false
  let left = 0
  let isControl = false
  let isLast = false
  /** Payload of this message that was taken, and that has gone out. */
  let taken = 0
  let gone = 0
  /** Frames and headers that stand behind payload that is held back: each at its place in the payload. */
  let waiting: { readonly at: number; readonly bytes: Buffer }[] = []
  let waitingBytes = 0
  let controlPayload: Buffer[] = []

  function refuse(reason: string): never {
    throw clrkError('CLRK_UPSTREAM_MALFORMED', { name: host, reason: `its WebSocket ${reason}` })
  }

  function readHeader(): void {
    const [first = 0, second = 0] = header
    const opcode = first & 0x0f
    if ((first & 0x70) !== 0) refuse('uses an extension that was not asked for')
    if ((second & 0x80) !== 0) refuse('masks a frame')
    const short = second & 0x7f
    isControl = opcode >= 8
    isLast = (first & 0x80) !== 0
    if (opcode > 10 || (opcode > 2 && opcode < 8)) refuse('sends a frame of unknown kind')
    if (isControl && (short > 125 || !isLast)) refuse('sends a control frame that is none')
    if (!isControl && (opcode === 0) !== open) refuse('mixes the frames of two messages')
    if (!isControl) open = !isLast
    const length = short === 127 ? header.readBigUInt64BE(2) : BigInt(short === 126 ? header.readUInt16BE(2) : short)
    if (length > Number.MAX_SAFE_INTEGER) refuse('sends a frame that is too large')
    left = Number(length)
  }

  /** What does not belong to a message's payload goes out behind what came before it. */
  function emitBeside(out: Buffer[], bytes: Buffer): void {
    if (gone === taken) return void out.push(bytes)
    waiting.push({ at: taken, bytes })
    waitingBytes += bytes.length
    if (waitingBytes > WAITING_BYTES) refuse('sends too much between the frames of a message')
  }

  function emitPayload(out: Buffer[], payload: Buffer): void {
    let rest = payload
    for (let next = waiting[0]; next !== undefined && next.at <= gone + rest.length; next = waiting[0]) {
      out.push(rest.subarray(0, next.at - gone), next.bytes)
      rest = rest.subarray(next.at - gone)
      gone = next.at
      waiting = waiting.slice(1)
      waitingBytes -= next.bytes.length
    }
    out.push(rest)
    gone += rest.length
  }

  function endFrame(out: Buffer[]): void {
    if (isControl) {
      const scrubbed = control.push(Buffer.concat(controlPayload))
      controlPayload = []
      emitBeside(out, Buffer.concat([scrubbed, control.end()]))
    } else if (isLast) {
      emitPayload(out, message.end())
      taken = gone = 0
    }
    header = EMPTY
  }

  return chunk => {
    const out: Buffer[] = []
    for (let at = 0; at < chunk.length; ) {
      const missing = headerBytes(header) - header.length
      if (missing > 0) {
        const part = chunk.subarray(at, at + missing)
        header = Buffer.concat([header, part])
        at += part.length
        if (headerBytes(header) > header.length) continue
        readHeader()
        emitBeside(out, header)
      } else {
        const part = chunk.subarray(at, at + left)
        at += part.length
        left -= part.length
        if (isControl) controlPayload.push(part)
        else {
          taken += part.length
          emitPayload(out, message.push(part))
        }
      }
      if (left === 0) endFrame(out)
    }
    return Buffer.concat(out)
  }
}

/** How long the header is, as far as its first bytes say. */
function headerBytes(header: Buffer): number {
  const short = (header[1] ?? 0) & 0x7f
  return header.length < 2 ? 2 : short === 127 ? 10 : short === 126 ? 4 : 2
}

const EMPTY: Buffer = Buffer.alloc(0)
const WAITING_BYTES = 4_096
