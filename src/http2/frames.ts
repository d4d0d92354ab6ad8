/**
 * Reads what an HTTP/2 client sends, in pieces of any size, as frames (RFC 9113 §4, §6). What a frame's own bytes must
 * hold to is checked here; what streams and windows must is not (incoming.ts). The payload of DATA is never copied, and of
 * other frames no more than `LIMITS` allows is kept. Throws nothing of its own. Fuzzed by test/fuzz/http2.ts.
 */
import { LIMITS } from '../limits.ts'
import { CODE } from './codes.ts'

export type FrameSink = {
  /** A whole header block. `badPriority`: the stream depends on itself. */
  readonly headers: (
    stream: number,
    bytes: Buffer,
    from: number,
    to: number,
    end: boolean,
    badPriority: boolean,
  ) => void
  /** A piece of a DATA frame; `padding`: bytes that only flow control counts. `end`: its last one, with END_STREAM. */
  readonly data: (stream: number, bytes: Buffer, from: number, to: number, padding: number, end: boolean) => void
  /** `code`: what is wrong with it, or null. */
  readonly priority: (stream: number, code: number | null) => void
  readonly reset: (stream: number, code: number) => void
  /** Six bytes an entry. */
  readonly settings: (bytes: Buffer, from: number, to: number) => void
  readonly ping: (bytes: Buffer, from: number) => void
  /** An acknowledgement, of SETTINGS or PING. */
  readonly acknowledged: () => void
  readonly goaway: (code: number) => void
  /** Stream 0 is the connection. */
  readonly window: (stream: number, increment: number) => void
  /** A connection error: nothing more is read. */
  readonly broken: (code: number) => void
}

export type FrameReader = {
  readonly push: (chunk: Buffer) => void
  /** What comes from now on, or is left of the chunk that is being read, is thrown away. */
  readonly stop: () => void
}

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const

export const FLAG = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const

/** What everybody takes (RFC 9113 §4.2): we allow no more, and send no more. */
export const FRAME_BYTES = 16_384

export function createFrameReader(sink: FrameSink): FrameReader {
  let stopped = false
  /** Bytes of the client's preface that have come. */
  let prefaced = 0
  let settled = false
  const head = Buffer.alloc(HEAD_BYTES)
  let headFilled = 0
  /** The frame that is being read, and how many bytes of its payload are to come. */
  let reading = false
  let [type, flags, stream, left] = [0, 0, 0, 0]
  /** Of DATA: the length of its padding comes next; padding behind what is left; bytes that flow control still counts. */
  let paddingNext = false
  let [padding, counted] = [0, 0]
  /** A payload that came in more than one piece. */
  let payload: Buffer | null = null
  let payloadFilled = 0
  /** A header block that goes on in CONTINUATION, by its stream; 0: there is none. */
  let blockStream = 0
  let blockFlags = 0
  let blockBadPriority = false
  let blockParts: Buffer[] = []
  let blockBytes = 0

  function broken(code: number): void {
    stopped = true
    sink.broken(code)
  }

  function push(chunk: Buffer): void {
    let at = 0
    for (; prefaced < PREFACE.length && at < chunk.length && !stopped; at++) {
      if (chunk[at] !== PREFACE[prefaced++]) broken(CODE.protocol)
    }
    while (at < chunk.length && !stopped) {
      if (!reading) {
        at = takeHead(chunk, at)
        if (!reading) return
      }
      if (type === TYPE.data) at = takeData(chunk, at)
      else if (type > TYPE.continuation) at = skip(chunk, at)
      else at = takePayload(chunk, at)
    }
  }

  function takeHead(chunk: Buffer, from: number): number {
    if (headFilled === 0 && chunk.length - from >= HEAD_BYTES) {
      begin(chunk, from)
      return from + HEAD_BYTES
    }
    const copied = chunk.copy(head, headFilled, from, from + HEAD_BYTES - headFilled)
    headFilled += copied
    if (headFilled === HEAD_BYTES) {
      headFilled = 0
      begin(head, 0)
    }
    return from + copied
  }

  function begin(bytes: Buffer, at: number): void {
    left = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    type = bytes[at + 3] ?? 0
    flags = bytes[at + 4] ?? 0
    stream = bytes.readUInt32BE(at + 5) & MAXIMUM
    if (!settled && (type !== TYPE.settings || (flags & FLAG.ack) !== 0)) return broken(CODE.protocol)
    if (left > FRAME_BYTES) return broken(CODE.frameSize)
    const inBlock = blockStream !== 0
    if (inBlock !== (type === TYPE.continuation) || (inBlock && stream !== blockStream)) return broken(CODE.protocol)
    const ofConnection = type === TYPE.settings || type === TYPE.ping || type === TYPE.goaway
    const ofEither = type === TYPE.window || type > TYPE.continuation
    if (!ofEither && ofConnection !== (stream === 0)) return broken(CODE.protocol)
    if (type === TYPE.push) return broken(CODE.protocol)
    reading = true
    if (type !== TYPE.data) return
    paddingNext = (flags & FLAG.padded) !== 0
    padding = counted = 0
    if (paddingNext && left === 0) broken(CODE.frameSize)
  }

  function takeData(chunk: Buffer, from: number): number {
    let at = from
    if (paddingNext) {
      if (at === chunk.length) return at
      padding = chunk[at++] ?? 0
      counted = padding + 1
      paddingNext = false
      left -= counted
      if (left < 0) {
        broken(CODE.protocol)
        return at
      }
    }
    const to = Math.min(chunk.length, at + left)
    left -= to - at
    const last = left === 0
    if (last) {
      type = UNKNOWN // the padding is thrown away
      left = padding
      reading = left > 0
    }
    const more = counted
    counted = 0
    if (to > at || last) sink.data(stream, chunk, at, to, more, last && (flags & FLAG.endStream) !== 0)
    return to
  }

  function skip(chunk: Buffer, from: number): number {
    const to = Math.min(chunk.length, from + left)
    left -= to - from
    reading = left > 0
    return to
  }

  function takePayload(chunk: Buffer, from: number): number {
    if (payload === null && chunk.length - from >= left) {
      reading = false
      take(chunk, from, from + left)
      return from + left
    }
    if (payload === null) {
      payload = Buffer.allocUnsafeSlow(left)
      payloadFilled = 0
    }
    const copied = chunk.copy(payload, payloadFilled, from)
    payloadFilled += copied
    if (payloadFilled === left) {
      const whole = payload
      payload = null
      reading = false
      take(whole, 0, left)
    }
    return from + copied
  }

  /** A whole frame that is neither DATA nor unknown. */
  function take(bytes: Buffer, from: number, to: number): void {
    const length = to - from
    const acknowledges = (flags & FLAG.ack) !== 0
    switch (type) {
      case TYPE.headers:
        return takeHeaders(bytes, from, to)
      case TYPE.continuation:
        return takeBlock(bytes, from, to)
      case TYPE.priority:
        if (length !== 5) return sink.priority(stream, CODE.frameSize)
        return sink.priority(stream, (bytes.readUInt32BE(from) & MAXIMUM) === stream ? CODE.protocol : null)
      case TYPE.reset:
        return length === 4 ? sink.reset(stream, bytes.readUInt32BE(from)) : broken(CODE.frameSize)
      case TYPE.settings:
        if (acknowledges ? length > 0 : length % 6 !== 0) return broken(CODE.frameSize)
        if (acknowledges) return sink.acknowledged()
        if (length > 6 * LIMITS.http2SettingsEntries) return broken(CODE.calm)
        settled = true
        return sink.settings(bytes, from, to)
      case TYPE.ping:
        if (length !== 8) return broken(CODE.frameSize)
        return acknowledges ? sink.acknowledged() : sink.ping(bytes, from)
      case TYPE.goaway:
        return length < 8 ? broken(CODE.frameSize) : sink.goaway(bytes.readUInt32BE(from + 4))
      case TYPE.window:
        return length === 4 ? sink.window(stream, bytes.readUInt32BE(from) & MAXIMUM) : broken(CODE.frameSize)
    }
  }

  function takeHeaders(bytes: Buffer, start: number, end: number): void {
    let [from, to] = [start, end]
    if ((flags & FLAG.padded) !== 0) to -= bytes[from++] ?? 0
    let badPriority = false
    if ((flags & FLAG.priority) !== 0) {
      if (from + 5 > to) return broken(start + 5 > end ? CODE.frameSize : CODE.protocol)
      badPriority = (bytes.readUInt32BE(from) & MAXIMUM) === stream
      from += 5
    }
    if (from > to || from > end) return broken(start === end ? CODE.frameSize : CODE.protocol)
    if ((flags & FLAG.endHeaders) !== 0) {
      return sink.headers(stream, bytes, from, to, (flags & FLAG.endStream) !== 0, badPriority)
    }
    blockStream = stream
    blockFlags = flags
    blockBadPriority = badPriority
    takeBlock(bytes, from, to)
  }

  /** A part of a header block that came, or will come, in more than one frame. */
  function takeBlock(bytes: Buffer, from: number, to: number): void {
    blockBytes += to - from
    if (blockParts.length === LIMITS.http2BlockFrames || blockBytes > BLOCK_BYTES) return broken(CODE.calm)
    blockParts.push(bytes.subarray(from, to))
    if (type !== TYPE.continuation || (flags & FLAG.endHeaders) === 0) return
    const block = Buffer.concat(blockParts)
    const of = blockStream
    blockParts = []
    blockStream = blockBytes = 0
    sink.headers(of, block, 0, block.length, (blockFlags & FLAG.endStream) !== 0, blockBadPriority)
  }

  return {
    push,
    stop: () => {
      stopped = true
      payload = null
      blockParts = []
    },
  }
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const HEAD_BYTES = 9
const UNKNOWN = 255
/** The reserved bit is not a part of the number. */
const MAXIMUM = 0x7fffffff
/** Of one header block: a list that is too large for `LIMITS.headBytes` is read to its end where it is not much larger. */
const BLOCK_BYTES = 2 * LIMITS.headBytes
