/**
 * Strict parser for HTTP/1.1 request and response heads (RFC 9112).
 *
 * A head is kept as the bytes that came, as latin1 text, plus a table of offsets: no header objects, so order, case, duplicates and
 * bytes 0x80–0xff survive, and no field name can meet a prototype (T108, T110). Whatever two parsers could read in two
 * ways is refused, never mended (T25, T29): bare CR or LF, folded lines, white space before the colon, control
 * characters, repeated or mixed framing, a second Host. Never throws. Fuzzed by test/fuzz/head.ts.
 */
import type { ErrorCode, ErrorDetails } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { dashed, FIELD_TEXT, isAll, isBlank, TARGET, TOKEN } from './grammar.ts'

/** What the head says about its body. `length` in bytes. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }

export type Fields = {
  /** The head as latin1: start line and field lines, each with its CRLF, without the empty line. */
  readonly text: string
  /** Field names in order, lower case. */
  readonly names: readonly string[]
  /** Five numbers a field: start of line, end of name, start and end of the value without white space around it, kind. */
  readonly table: readonly number[]
  readonly framing: Framing
  /** May the connection carry another message, as far as this head says (RFC 9112 §9.3)? */
  readonly keepAlive: boolean
  /** Field names that Connection nominates, lower case; without `close` and `keep-alive`. */
  readonly nominated: readonly string[]
  /** The Host field, raw, or null. One at most. */
  readonly host: string | null
  readonly expectContinue: boolean
  /** The Upgrade field, lower case, or null. */
  readonly upgrade: string | null
}

export type RequestHead = Fields & {
  readonly kind: 'request'
  /** As sent. Never CONNECT, TRACE or TRACK. */
  readonly method: string
  /** Origin-form (begins with `/`), or `*` with OPTIONS. */
  readonly target: string
  readonly version: '1.0' | '1.1'
}

export type ResponseHead = Fields & {
  readonly kind: 'response'
  /** 100–599 */
  readonly status: number
  readonly reason: string
  readonly version: '1.0' | '1.1'
}

/** `details` is complete for a request; for a response (`CLRK_UPSTREAM_MALFORMED`) the caller adds `name`. */
export type HeadError = { readonly kind: 'error'; readonly code: ErrorCode; readonly details: ErrorDetails }

/** The kinds in `Fields.table`; from `dropped` on a field is never forwarded. */
export const KIND = {
  endToEnd: 0,
  host: 1,
  expect: 2,
  length: 3,
  coding: 4,
  alternative: 5,
  dropped: 6,
  connection: 7,
  upgrade: 8,
} as const

/** Numbers a field has in `Fields.table`. */
export const STRIDE = 5

/**
 * Parses the request head in `bytes[start, end)`: start line and field lines, each with its CRLF, without the empty
 * line. Errors: CLRK_HTTP_MALFORMED, CLRK_METHOD_NOT_ALLOWED (T35, T39).
 */
export function parseRequestHead(bytes: Buffer, start = 0, end = bytes.length): RequestHead | HeadError {
  if (!endsWithLine(bytes, start, end)) return malformed('the head does not end with CRLF')
  const text = bytes.toString('latin1', start, end)
  let at = start
  while (TOKEN[bytes[at] ?? 0] === 1) at++
  if (at === start || bytes[at] !== SP) return malformed('the request line does not begin with a method')
  const method = text.slice(0, at - start)
  if (FORBIDDEN_METHOD.test(method)) return { kind: 'error', code: 'CLRK_METHOD_NOT_ALLOWED', details: { method } }
  const targetStart = ++at
  while (TARGET[bytes[at] ?? 0] === 1) at++
  if (at === targetStart || bytes[at] !== SP) return malformed('the request target is malformed')
  const target = text.slice(targetStart - start, at - start)
  const version = versionAt(bytes, at + 1)
  if (version === null || bytes[at + 9] !== CR || bytes[at + 10] !== LF) {
    return malformed('the request line does not end with HTTP/1.1 or HTTP/1.0')
  }
  if (bytes[targetStart] !== SLASH && !(target === '*' && method === 'OPTIONS')) {
    return malformed(
      /^https?:\/\//i.test(target) ? 'absolute-form refused' : 'the request target does not begin with a slash',
    )
  }
  const fields = readFields(bytes, text, start, at + 11, version)
  if (typeof fields === 'string') return malformed(fields)
  if (fields.host === null && version === '1.1') return malformed('Host is missing')
  return { ...fields, kind: 'request', method, target, version }
}

/** Parses a response head, in the same way. Error: CLRK_UPSTREAM_MALFORMED (T130). */
export function parseResponseHead(bytes: Buffer, start = 0, end = bytes.length): ResponseHead | HeadError {
  if (!endsWithLine(bytes, start, end)) return malformedResponse('the head does not end with CRLF')
  const version = versionAt(bytes, start)
  const text = bytes.toString('latin1', start, end)
  const status = Number(text.slice(9, 12))
  let at = start + 12
  if (version === null || !STATUS.test(text)) {
    return malformedResponse('the status line is malformed')
  }
  // RFC 9112 §4 wants the space even before an empty reason; origins that leave it out mean the same.
  if (bytes[at] === SP) at++
  const reasonStart = at - start
  while (FIELD_TEXT[bytes[at] ?? 0] === 1) at++
  if (bytes[at] !== CR || bytes[at + 1] !== LF) {
    return malformedResponse('the reason phrase contains a control character')
  }
  const reason = text.slice(reasonStart, at - start)
  const fields = readFields(bytes, text, start, at + 2, version)
  if (typeof fields === 'string') return malformedResponse(fields)
  return { ...fields, kind: 'response', status, reason, version }
}

/** The value of the field at `index` (0 is the first), raw, without the white space around it. */
export function fieldValue(head: Fields, index: number): string {
  return head.text.slice(head.table[index * STRIDE + 2], head.table[index * STRIDE + 3])
}

/** Every value of a field, in order. */
export function fieldValues(head: Fields, lowerName: string): string[] {
  const values: string[] = []
  for (let index = 0; index < head.names.length; index++) {
    if (head.names[index] === lowerName) values.push(fieldValue(head, index))
  }
  return values
}

/** The fields from `bytes[from]` on, or why they are refused; `text` begins at `start`. */
function readFields(bytes: Buffer, text: string, start: number, from: number, version: '1.0' | '1.1'): Fields | string {
  const end = start + text.length
  const names: string[] = []
  const table: number[] = []
  let length = -1
  let chunked = false
  let options: string[] | null = null
  let host: string | null = null
  let expectContinue = false
  let upgrade: string | null = null
  // Every scan stops at the CR before `end` at the latest.
  for (let at = from; at < end; at += 2) {
    const lineStart = at
    let code = bytes[at] ?? 0
    let hasUpper = false
    while (TOKEN[code] === 1) {
      if (code <= 0x5a && code >= 0x41) hasUpper = true
      code = bytes[++at] ?? 0
    }
    if (at === lineStart || code !== COLON) return 'a header line does not begin with a name and a colon'
    const nameEnd = at - start
    do code = bytes[++at] ?? 0
    while (code === SP || code === TAB)
    const valueStart = at - start
    while ((code >= SP && code !== DEL) || code === TAB) code = bytes[++at] ?? 0
    if (code !== CR || bytes[at + 1] !== LF) return 'a header value has a control character'
    let valueEnd = at - start
    while (valueEnd > valueStart && isBlank(bytes[start + valueEnd - 1])) valueEnd--
    const raw = text.slice(lineStart - start, nameEnd)
    const name = hasUpper ? raw.toLowerCase() : raw
    const kind = kindOf(name)
    if (names.push(name) > LIMITS.headerFields) return `there are more than ${LIMITS.headerFields} header fields`
    table.push(lineStart - start, nameEnd, valueStart, valueEnd, kind)
    if (kind === KIND.endToEnd || kind === KIND.dropped) continue
    const value = text.slice(valueStart, valueEnd)
    if (kind === KIND.host) {
      if (host !== null) return 'there is more than one Host'
      host = value
    } else if (kind === KIND.length) {
      if (length >= 0) return 'there is more than one Content-Length'
      length = lengthOf(value)
      if (length < 0) return 'Content-Length is not a number of bytes'
    } else if (kind === KIND.coding) {
      if (chunked) return 'there is more than one Transfer-Encoding'
      // Parsers differ on a tab behind the coding: llhttp takes it for a part of it.
      if (value.toLowerCase() !== 'chunked' || text.slice(valueEnd, at - start).includes('\t')) {
        return 'Transfer-Encoding is not chunked'
      }
      chunked = true
    } else if (kind === KIND.connection) {
      options ??= []
      for (const option of value.toLowerCase().split(/[ \t]*,[ \t]*/)) {
        if (option !== '' && !isAll(option, TOKEN)) return 'Connection is not a list of names'
        options.push(option)
      }
    } else if (kind === KIND.expect) {
      if (value.toLowerCase() !== '100-continue') return 'Expect is not 100-continue'
      expectContinue = true
    } else if (kind === KIND.upgrade) {
      upgrade = (upgrade === null ? value : `${upgrade}, ${value}`).toLowerCase()
    }
  }
  if (chunked && length >= 0) return 'there are both Content-Length and Transfer-Encoding'
  if (chunked && version === '1.0') return 'Transfer-Encoding does not exist in HTTP/1.0'
  const framing: Framing = chunked ? CHUNKED : length >= 0 ? { kind: 'length', length } : NONE
  let keepAlive = version === '1.1'
  let nominated: readonly string[] = NOTHING
  if (options !== null) {
    keepAlive = !options.includes('close') && (keepAlive || options.includes('keep-alive'))
    nominated = options.filter(option => option !== '' && option !== 'close' && option !== 'keep-alive')
  }
  return { text, names, table, framing, keepAlive, nominated, host, expectContinue, upgrade }
}

/**
 * The kind of a lower-case field name, one of `KIND`.
 * By length first: comparing each name with every special one costs more than all the rest of the parser.
 */
export function kindOf(name: string): number {
  switch (name.length) {
    case 2:
      return name === 'te' ? KIND.dropped : KIND.endToEnd
    case 4:
      return name === 'host' ? KIND.host : KIND.endToEnd
    case 6:
      return name === 'expect' ? KIND.expect : KIND.endToEnd
    case 7:
      return name === 'upgrade' ? KIND.upgrade : name === 'alt-svc' ? KIND.alternative : KIND.endToEnd
    case 10:
      return name === 'connection' ? KIND.connection : sameDashed(name, 'keep-alive')
    case 14:
      return name === 'content-length'
        ? KIND.length
        : sameDashed(name, 'content-length') || sameDashed(name, 'http2-settings')
    case 16:
      return sameDashed(name, 'proxy-connection')
    case 17:
      return name === 'transfer-encoding' ? KIND.coding : sameDashed(name, 'transfer-encoding')
    case 18:
      return name === 'alternate-protocol' ? KIND.alternative : sameDashed(name, 'proxy-authenticate')
    case 19:
      return sameDashed(name, 'proxy-authorization')
    default:
      return KIND.endToEnd
  }
}

/** Underscore twins of hop-by-hop and framing fields go too: some origins read them as the real ones (T32). */
function sameDashed(name: string, dropped: string): number {
  return name === dropped || dashed(name) === dropped ? KIND.dropped : KIND.endToEnd
}

function endsWithLine(bytes: Buffer, start: number, end: number): boolean {
  return end - start >= 2 && bytes[end - 2] === CR && bytes[end - 1] === LF
}

function versionAt(bytes: Buffer, at: number): '1.0' | '1.1' | null {
  for (let index = 0; index < HTTP1.length; index++) if (bytes[at + index] !== HTTP1[index]) return null
  const minor = bytes[at + HTTP1.length]
  return minor === 0x31 ? '1.1' : minor === 0x30 ? '1.0' : null
}

function lengthOf(value: string): number {
  if (!/^[0-9]{1,16}$/.test(value)) return -1
  const length = Number(value)
  return length <= Number.MAX_SAFE_INTEGER ? length : -1
}

/** The errors of the two parsers, for what is refused before a head is complete. */
export function malformed(reason: string): HeadError {
  return { kind: 'error', code: 'CLRK_HTTP_MALFORMED', details: { reason } }
}

export function malformedResponse(reason: string): HeadError {
  return { kind: 'error', code: 'CLRK_UPSTREAM_MALFORMED', details: { reason } }
}

const TAB = 0x09
const SP = 0x20
const DEL = 0x7f
const CR = 0x0d
const LF = 0x0a
const COLON = 0x3a
const SLASH = 0x2f
const HTTP1 = Buffer.from('HTTP/1.')
const NONE: Framing = { kind: 'none' }
const CHUNKED: Framing = { kind: 'chunked' }
const NOTHING: readonly string[] = []
/** Some origins take methods in any case, so these are refused in any. */
const FORBIDDEN_METHOD = /^(?:connect|trace|track)$/i
/** The version, the code, then a space or the end of the line. */
const STATUS = /^HTTP\/1\.[01] [1-5][0-9]{2}[ \r]/
