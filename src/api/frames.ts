/**
 * The frames of one run on the control socket, after its HTTP upgrade: standard streams with a window each, signals,
 * the terminal's size, the exit. Both ends speak the same frames.
 *
 * A frame is a 4-byte big-endian payload length, one type byte, the payload (at most `LIMITS.frameBytes`).
 */
import { constants } from 'node:os'
import { LIMITS } from '../limits.ts'
import type { SandboxExit } from '../runtimes/runtime.ts'

/** 0 stdin, 1 stdout, 2 stderr, as file descriptors. */
export type StreamId = 0 | 1 | 2

export type Frame =
  | { readonly type: 'data'; readonly stream: StreamId; readonly bytes: Buffer }
  /** From the side that writes: nothing more comes. From the side that reads: nothing more is wanted. */
  | { readonly type: 'eof'; readonly stream: StreamId }
  /** The reader of `stream` has consumed that many bytes: as many more may be sent. */
  | { readonly type: 'credit'; readonly stream: StreamId; readonly bytes: number }
  | { readonly type: 'resize'; readonly rows: number; readonly columns: number }
  | { readonly type: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly type: 'exit'; readonly exit: SandboxExit }
  /** End the sandbox: SIGTERM, then SIGKILL. */
  | { readonly type: 'stop' }
  | { readonly type: 'json'; readonly value: unknown }

/** Takes a connection's bytes as they come, cut anywhere, and gives back the frames that are whole now. */
export type FrameReader = (bytes: Buffer) => { readonly frames: readonly Frame[]; readonly error: string | null }

/** The wire form of `frame`. Throws a RangeError where its payload is larger than `LIMITS.frameBytes`. */
export function encodeFrame(frame: Frame): Buffer {
  const payload = frame.type === 'data' ? [Buffer.of(frame.stream), frame.bytes] : [payloadOf(frame)]
  const length = payload.reduce((sum, part) => sum + part.length, 0)
  if (length > LIMITS.frameBytes) throw new RangeError(`a frame holds at most ${LIMITS.frameBytes} bytes`)
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(length, 0)
  head.writeUInt8(TYPES.indexOf(frame.type), 4)
  return Buffer.concat([head, ...payload])
}

/**
 * A reader for one connection. It holds at most one incomplete frame. The first malformed frame is an error without
 * the bytes that caused it, and every later call repeats it: the connection has to be closed. Never throws.
 */
export function frameReader(): FrameReader {
  let pending: Buffer = Buffer.alloc(0)
  let error: string | null = null
  return bytes => {
    const frames: Frame[] = []
    if (error !== null) return { frames, error }
    pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes])
    while (pending.length >= HEAD_BYTES) {
      const length = pending.readUInt32BE(0)
      const type = TYPES[pending.readUInt8(4)]
      if (type === undefined) error = 'unknown frame type'
      else if (length > LIMITS.frameBytes) error = `frame larger than ${LIMITS.frameBytes} bytes`
      if (type === undefined || error !== null) break
      if (pending.length < HEAD_BYTES + length) break
      const frame = frameOf(type, pending.subarray(HEAD_BYTES, HEAD_BYTES + length))
      if (frame === null) {
        error = `malformed ${type} frame`
        break
      }
      frames.push(frame)
      pending = pending.subarray(HEAD_BYTES + length)
    }
    return { frames, error }
  }
}

function payloadOf(frame: Exclude<Frame, { type: 'data' }>): Buffer {
  switch (frame.type) {
    case 'eof':
      return Buffer.of(frame.stream)
    case 'credit': {
      const payload = Buffer.alloc(5)
      payload.writeUInt8(frame.stream, 0)
      payload.writeUInt32BE(frame.bytes, 1)
      return payload
    }
    case 'resize': {
      const payload = Buffer.alloc(4)
      payload.writeUInt16BE(frame.rows, 0)
      payload.writeUInt16BE(frame.columns, 2)
      return payload
    }
    case 'signal':
      return Buffer.from(frame.signal, 'latin1')
    case 'exit':
      return Buffer.from(frame.exit.signal ?? String(frame.exit.code), 'latin1')
    case 'stop':
      return Buffer.alloc(0)
    case 'json':
      return Buffer.from(JSON.stringify(frame.value))
  }
}

function frameOf(type: Frame['type'], payload: Buffer): Frame | null {
  const stream = payload.length > 0 ? streamOf(payload.readUInt8(0)) : null
  switch (type) {
    case 'data':
      return stream === null ? null : { type, stream, bytes: payload.subarray(1) }
    case 'eof':
      return stream === null || payload.length !== 1 ? null : { type, stream }
    case 'credit':
      return stream === null || payload.length !== 5 ? null : { type, stream, bytes: payload.readUInt32BE(1) }
    case 'resize':
      return payload.length !== 4 ? null : { type, rows: payload.readUInt16BE(0), columns: payload.readUInt16BE(2) }
    case 'signal': {
      const signal = signalOf(payload.toString('latin1'))
      return signal === null ? null : { type, signal }
    }
    case 'exit': {
      const text = payload.toString('latin1')
      if (/^\d{1,3}$/.test(text)) return { type, exit: { code: Number(text), signal: null } }
      const signal = signalOf(text)
      return signal === null ? null : { type, exit: { code: null, signal } }
    }
    case 'stop':
      return payload.length !== 0 ? null : { type }
    case 'json':
      return jsonFrameOf(payload)
  }
}

function jsonFrameOf(payload: Buffer): Frame | null {
  try {
    return { type: 'json', value: JSON.parse(payload.toString('utf8')) }
  } catch {
    return null
  }
}

function streamOf(byte: number): StreamId | null {
  return byte === 0 || byte === 1 || byte === 2 ? byte : null
}

function signalOf(text: string): NodeJS.Signals | null {
  return Object.hasOwn(constants.signals, text) ? (text as NodeJS.Signals) : null
}

const HEAD_BYTES = 5

/** The type byte is the index here: append only. */
const TYPES = ['data', 'eof', 'credit', 'resize', 'signal', 'exit', 'stop', 'json'] as const satisfies Frame['type'][]
