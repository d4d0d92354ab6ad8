/**
 * Where a body ends, counted on the raw bytes that pass (RFC 9112 §6, §7.1); nothing is copied.
 *
 * Chunked bodies pass with their framing as sent, because it is checked byte by byte here: sizes of 1–14 hex digits
 * below 2^53, bare CR or LF nowhere, extensions of visible ASCII only and within limits (T28), trailers one line each,
 * none of them a field that could route, frame or authenticate (T30). What passes reads the same to every strict parser.
 */
import { LIMITS } from '../limits.ts'
import { dashed, FIELD_TEXT, TOKEN } from './grammar.ts'
import type { Framing, ResponseHead } from './head.ts'

export type BodyFraming = Framing | { readonly kind: 'until-close' }

/** RFC 9112 §6.3, cases 1 to 8. */
export function bodyFraming(head: ResponseHead, method: string): BodyFraming {
  if (method === 'HEAD' || head.status === 204 || head.status === 304) return NO_BODY
  return head.framing.kind === 'none' ? UNTIL_CLOSE : head.framing
}

/** Gets each piece of payload, without framing, in order: `chunk[from, to)`, never empty. May keep the chunk. */
export type PayloadSink = (chunk: Buffer, from: number, to: number) => void

export type Body = {
  /** Everything up to the last byte of the body was taken. Never true `until-close`. */
  done: boolean
  /** Why the body is refused, or null; after a refusal nothing more may be taken. */
  problem: string | null
  /** Payload bytes so far: framing and trailers are not counted. */
  payloadBytes: number
  framing: BodyFraming['kind']
  /** Payload bytes left of the body or of the current chunk. */
  left: number
  state: number
  digits: number
  lineBytes: number
  extensionBytes: number
  trailerBytes: number
  trailerFields: number
  trailerName: string
  refusesTrailer: (lowerName: string) => boolean
}

/** A body that has ended; `startBody` makes it ready for the next message. */
export function createBody(): Body {
  return {
    done: true,
    problem: null,
    payloadBytes: 0,
    framing: 'none',
    left: 0,
    state: SIZE,
    digits: 0,
    lineBytes: 0,
    extensionBytes: 0,
    trailerBytes: 0,
    trailerFields: 0,
    trailerName: '',
    refusesTrailer: refusesNothing,
  }
}

/** `refusesTrailer`: names that this message may not carry as trailers, beside those that none may. Gets dashed names too. */
export function startBody(body: Body, framing: BodyFraming, refusesTrailer: Body['refusesTrailer'] = refusesNothing) {
  body.framing = framing.kind
  body.left = framing.kind === 'length' ? framing.length : 0
  body.done = framing.kind === 'none' || (framing.kind === 'length' && framing.length === 0)
  body.problem = null
  body.payloadBytes = 0
  body.refusesTrailer = refusesTrailer
  if (framing.kind !== 'chunked') return
  body.state = SIZE
  body.digits = body.lineBytes = body.extensionBytes = body.trailerBytes = body.trailerFields = 0
}

/**
 * Takes what belongs to the body from `chunk[from…]`.
 *
 * Returns the offset behind the last byte that does (bytes from there on belong to the next message; `body.done` says
 * whether that was the end), or -1 with `body.problem` set: then no byte of this chunk may be passed on.
 */
export function takeBody(body: Body, chunk: Buffer, from: number, sink: PayloadSink | null): number {
  if (body.done) return from
  if (body.framing === 'chunked') return takeChunked(body, chunk, from, sink)
  const available = chunk.length - from
  if (body.framing === 'until-close' || available < body.left) {
    if (available > 0) emit(body, chunk, from, chunk.length, sink)
    return chunk.length
  }
  body.done = true
  const end = from + body.left
  emit(body, chunk, from, end, sink)
  return end
}

function takeChunked(body: Body, chunk: Buffer, from: number, sink: PayloadSink | null): number {
  const size = chunk.length
  let at = from
  while (at < size) {
    if (body.state === DATA) {
      const end = Math.min(size, at + body.left)
      emit(body, chunk, at, end, sink)
      at = end
      if (body.left === 0) body.state = DATA_CR
      continue
    }
    const problem = step(body, chunk[at++] ?? 0)
    if (problem !== null) {
      body.problem = problem
      return -1
    }
    if (body.state === END) {
      body.done = true
      return at
    }
  }
  return at
}

function emit(body: Body, chunk: Buffer, from: number, to: number, sink: PayloadSink | null): void {
  if (body.framing !== 'until-close') body.left -= to - from
  body.payloadBytes += to - from
  if (sink !== null) sink(chunk, from, to)
}

/** One byte of chunk framing; the reason where it may not stand here. */
function step(body: Body, byte: number): string | null {
  switch (body.state) {
    case SIZE: {
      const digit = HEX[byte] ?? NOT_HEX
      if (digit !== NOT_HEX) {
        body.left = body.left * 16 + digit
        return ++body.digits > MAXIMUM_DIGITS || body.left > Number.MAX_SAFE_INTEGER ? 'a chunk is too large' : null
      }
      if (body.digits === 0 || (byte !== CR && byte !== SEMICOLON)) return 'a chunk size is not a hexadecimal number'
      body.lineBytes = body.digits
      body.state = byte === CR ? SIZE_LF : EXTENSION
      return null
    }
    case EXTENSION:
      if (byte === CR) body.state = SIZE_LF
      else if (FIELD_TEXT[byte] !== 1 || byte > 0x7e) return 'a chunk extension has a forbidden character'
      else if (++body.lineBytes > LIMITS.chunkLineBytes) return 'a chunk-size line is too long'
      else if (++body.extensionBytes > LIMITS.chunkExtensionBytes) return 'there are too many chunk extensions'
      return null
    case SIZE_LF:
      if (byte !== LF) return 'a chunk-size line does not end with CRLF'
      body.state = body.left === 0 ? TRAILER : DATA
      body.digits = 0
      return null
    case DATA_CR:
      body.state = DATA_LF
      return byte === CR ? null : 'a chunk is longer than its size'
    case DATA_LF:
      body.state = SIZE
      return byte === LF ? null : 'a chunk does not end with CRLF'
    default:
      if (++body.trailerBytes > LIMITS.trailerBytes) return 'the trailers are too long'
      return stepTrailer(body, byte)
  }
}

function stepTrailer(body: Body, byte: number): string | null {
  switch (body.state) {
    case TRAILER:
      if (byte === CR) {
        body.state = END_LF
        return null
      }
      if (++body.trailerFields > LIMITS.headerFields) return 'there are too many trailers'
      body.trailerName = ''
      body.state = TRAILER_NAME
      return stepTrailer(body, byte)
    case TRAILER_NAME: {
      if (TOKEN[byte] === 1) {
        body.trailerName += String.fromCharCode(byte)
        return null
      }
      if (byte !== COLON || body.trailerName === '') return 'a trailer line does not begin with a name and a colon'
      const name = body.trailerName.toLowerCase()
      const twin = dashed(name)
      const refused = NEVER_A_TRAILER.test(twin) || body.refusesTrailer(name) || body.refusesTrailer(twin)
      body.state = TRAILER_VALUE
      return refused ? 'a trailer field may not be sent as a trailer' : null
    }
    case TRAILER_VALUE:
      if (byte === CR) body.state = TRAILER_LF
      else if (FIELD_TEXT[byte] !== 1) return 'a trailer value has a control character'
      return null
    case TRAILER_LF:
      body.state = TRAILER
      return byte === LF ? null : 'a trailer line does not end with CRLF'
    default:
      body.state = END
      return byte === LF ? null : 'the trailers do not end with CRLF'
  }
}

function refusesNothing(): boolean {
  return false
}

const NO_BODY: BodyFraming = { kind: 'none' }
const UNTIL_CLOSE: BodyFraming = { kind: 'until-close' }

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILER = 6
const TRAILER_NAME = 7
const TRAILER_VALUE = 8
const TRAILER_LF = 9
const END_LF = 10
const END = 11

const CR = 0x0d
const LF = 0x0a
const COLON = 0x3a
const SEMICOLON = 0x3b
/** 16^14 − 1 is above 2^53 − 1, which the value is compared with. */
const MAXIMUM_DIGITS = 14
const NOT_HEX = 255
const HEX = Uint8Array.from({ length: 256 }, (_, code) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase())
  return digit < 0 ? NOT_HEX : digit
})

/** RFC 9110 §6.5.1: what frames, routes, authenticates, modifies the request or says how the content is read. */
export const NEVER_A_TRAILER =
  /^(?:age|alt-svc|authentication-info|authorization|cache-control|connection|content-(?:encoding|length|range|type)|cookie2?|date|expect|expires|host|http2-settings|if-.*|keep-alive|location|max-forwards|pragma|proxy-.*|range|retry-after|set-cookie2?|te|trailer|transfer-encoding|upgrade|vary|warning|www-authenticate)$/
