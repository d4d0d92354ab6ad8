/**
 * Reads the names in a ClientHello before anything answers it (RFC 8446 §4.1.2, §5.1; RFC 6066 §3; RFC 7301 §3.1).
 *
 * Strict where two readers could disagree (lengths, repeated extensions, other records in between), silent about what
 * clrk does not decide by: OpenSSL judges that after us.
 */
import type { ErrorDetails } from '../errors.ts'
import { LIMITS } from '../limits.ts'

export type ClientHello = {
  readonly kind: 'hello'
  /** The one host_name, lower case, 1–253 bytes; never an IP literal. Null where there is none or it is not usable. */
  readonly serverName: string | null
  /** Why there is a server_name extension but no `serverName`; null in every other case. */
  readonly serverNameProblem: string | null
  /** Offered protocols in order, bytes as latin1. */
  readonly alpn: readonly string[]
  /** Extension 0xfe0d is there (RFC 9849), GREASE or not. */
  readonly ech: boolean
  /** TLS 1.2 or 1.3 is among the offered versions. */
  readonly offersTls12: boolean
}

export type HelloError = {
  readonly kind: 'error'
  readonly code: 'CLRK_TLS_NOT_A_HELLO' | 'CLRK_TLS_HELLO_TOO_LARGE'
  /** `reason`, or `limit`; the caller adds `name` and `port`. */
  readonly details: ErrorDetails
}

export type HelloResult = ClientHello | { readonly kind: 'more'; readonly bytes: number } | HelloError

/**
 * Reads a ClientHello from a connection's first bytes; takes none of them.
 *
 * `bytes`: all that came so far, split over segments and records in any way (RFC 8446 §5.1); not kept. The caller owns
 * the timer (`LIMITS.clientHelloMs`).
 *
 * - `hello`: see `ClientHello`. Bytes behind its last record (early data) are not looked at.
 * - `more`: call again with at least `bytes` bytes in all; the least that can complete it, so that reading again costs
 *   linear time even for records of one byte (T23).
 * - `error`: CLRK_TLS_NOT_A_HELLO; CLRK_TLS_HELLO_TOO_LARGE where records and hello pass `LIMITS.clientHelloBytes`.
 *
 * Never throws. T22–T24. Fuzzed by test/fuzz/client-hello.ts.
 */
export function readClientHello(bytes: Uint8Array): HelloResult {
  // message[0, got) is the handshake message as far as it came; bytes[0, at) are the records that carried it.
  const message = new Uint8Array(Math.min(bytes.length, LIMITS.clientHelloBytes))
  let got = 0
  let length = HANDSHAKE_HEADER
  let at = 0
  while (at < bytes.length) {
    const size = recordSize(bytes, at)
    if (typeof size === 'string') return notAHello(size)
    if (size === null) break
    const body = at + RECORD_HEADER
    const end = Math.min(body + size, bytes.length, LIMITS.clientHelloBytes)
    const recordEnd = got + size
    if (end > body) message.set(bytes.subarray(body, end), got)
    got += Math.max(0, end - body)
    if (got > 0 && message[0] !== CLIENT_HELLO) return notAHello('the first handshake message is not a ClientHello')
    if (got >= HANDSHAKE_HEADER) length = HANDSHAKE_HEADER + uint24(message, 1)
    if (length > LIMITS.clientHelloBytes) return TOO_LARGE
    if (got >= HANDSHAKE_HEADER && recordEnd > length) {
      return notAHello('something follows the ClientHello in its record')
    }
    const missing = length - got
    if (missing === 0) {
      if (length > HANDSHAKE_HEADER) return parseHello(message.subarray(HANDSHAKE_HEADER, length))
      return notAHello('the ClientHello is empty')
    }
    at = body + size
    if (at <= bytes.length) continue
    // The rest of this record, and the fewest records that can hold what is missing after it.
    const after = Math.max(0, missing - (at - bytes.length))
    return more(bytes.length + missing + RECORD_HEADER * Math.ceil(after / RECORD_BYTES))
  }
  const missing = length - got
  return more(at + missing + RECORD_HEADER * Math.ceil(missing / RECORD_BYTES))
}

/** The size of the record at `at`, null where its header has not come yet, or why it may not stand here. */
function recordSize(bytes: Uint8Array, at: number): number | string | null {
  if (bytes[at] !== HANDSHAKE) return at === 0 ? 'not a TLS handshake' : 'another record inside the ClientHello'
  if (at + 1 < bytes.length && bytes[at + 1] !== 3) return 'not an SSL 3 or TLS record'
  if (at + RECORD_HEADER > bytes.length) return null
  const size = uint16(bytes, at + 3)
  if (size === 0) return 'an empty handshake record'
  return size > RECORD_BYTES ? 'a record larger than TLS allows' : size
}

function parseHello(hello: Uint8Array): ClientHello | HelloError {
  const legacyVersion = uint16(hello, 0)
  let at = 2 + 32
  const sessionId = vector(hello, at, 1)
  if (sessionId === null || sessionId.length > 32) return notAHello('the session id is malformed')
  at += 1 + sessionId.length
  const suites = vector(hello, at, 2)
  if (suites === null || suites.length < 2 || suites.length % 2 !== 0) return notAHello('the cipher list is malformed')
  at += 2 + suites.length
  const compressions = vector(hello, at, 1)
  if (compressions === null || compressions.length === 0) return notAHello('the compression list is malformed')
  at += 1 + compressions.length
  const extensions = at === hello.length ? NOTHING : vector(hello, at, 2)
  if (extensions === null || (at < hello.length && at + 2 + extensions.length !== hello.length)) {
    return notAHello('the extension list is malformed')
  }

  const seen = new Set<number>()
  let name: ServerName = { serverName: null, serverNameProblem: null }
  let alpn: string[] | null = []
  let offersTls12 = legacyVersion >= TLS12
  for (at = 0; at < extensions.length; ) {
    const type = uint16(extensions, at)
    const data = at + 2 < extensions.length ? vector(extensions, at + 2, 2) : null
    if (data === null) return notAHello('an extension is malformed')
    if (seen.has(type)) return notAHello('an extension comes twice')
    seen.add(type)
    if (type === SERVER_NAME) name = parseServerName(data)
    else if (type === ALPN) alpn = parseAlpn(data)
    else if (type === SUPPORTED_VERSIONS) offersTls12 = includesTls12(data)
    if (alpn === null) return notAHello('the protocol list (ALPN) is malformed')
    at += 4 + data.length
  }
  return { kind: 'hello', ...name, alpn, ech: seen.has(ENCRYPTED_CLIENT_HELLO), offersTls12 }
}

type ServerName = Pick<ClientHello, 'serverName' | 'serverNameProblem'>

/** A ServerNameList with exactly one entry, a host_name in LDH characters (and `_`, which real names have). */
function parseServerName(data: Uint8Array): ServerName {
  const list = vector(data, 0, 2)
  const entry = list === null || list[0] !== HOST_NAME ? null : vector(list, 1, 2)
  if (list === null || entry === null || list.length + 2 !== data.length) return unusable('the list is malformed')
  if (entry.length + 3 !== list.length) return unusable('there is more than one name')
  if (entry.length === 0) return unusable('the name is empty')
  if (entry.length > 253) return unusable('the name is longer than 253 bytes')
  const serverName = latin1(entry).toLowerCase()
  if (serverName.includes(':')) return unusable('the name is an IP address')
  if (!/^[a-z0-9._-]+$/.test(serverName)) return unusable('the name has characters that no host name has')
  if (/^\.|\.\.|\.$/.test(serverName)) return unusable('the name has an empty label')
  // What ends in a number is an IPv4 address to whoever resolves it, in decimal, hex or octal (T13).
  if (/(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/.test(serverName)) return unusable('the name is an IP address')
  return { serverName, serverNameProblem: null }
}

function parseAlpn(data: Uint8Array): string[] | null {
  const list = vector(data, 0, 2)
  if (list === null || list.length + 2 !== data.length || list.length === 0) return null
  const protocols: string[] = []
  for (let at = 0; at < list.length; ) {
    const protocol = vector(list, at, 1)
    if (protocol === null || protocol.length === 0) return null
    protocols.push(latin1(protocol))
    at += 1 + protocol.length
  }
  return protocols
}

function includesTls12(data: Uint8Array): boolean {
  const versions = vector(data, 0, 1) ?? NOTHING
  for (let at = 0; at + 1 < versions.length; at += 2) {
    const version = uint16(versions, at)
    if (version === TLS12 || version === TLS13) return true
  }
  return false
}

/** The content of a vector with a length of `width` bytes at `at`; null where it does not fit. */
function vector(bytes: Uint8Array, at: number, width: 1 | 2): Uint8Array | null {
  if (at + width > bytes.length) return null
  const start = at + width
  const length = width === 1 ? (bytes[at] ?? 0) : uint16(bytes, at)
  return start + length > bytes.length ? null : bytes.subarray(start, start + length)
}

function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)
}

function uint24(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 65_536 + uint16(bytes, at + 1)
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

function more(bytes: number): HelloResult {
  return bytes > LIMITS.clientHelloBytes ? TOO_LARGE : { kind: 'more', bytes }
}

function notAHello(reason: string): HelloError {
  return { kind: 'error', code: 'CLRK_TLS_NOT_A_HELLO', details: { reason } }
}

function unusable(problem: string): ServerName {
  return { serverName: null, serverNameProblem: problem }
}

const RECORD_HEADER = 5
const HANDSHAKE_HEADER = 4
/** RFC 8446 §5.1: plaintext of one record. */
const RECORD_BYTES = 16_384
const HANDSHAKE = 22
const CLIENT_HELLO = 1
const TLS12 = 0x0303
const TLS13 = 0x0304
const SERVER_NAME = 0
const HOST_NAME = 0
const ALPN = 16
const SUPPORTED_VERSIONS = 43
const ENCRYPTED_CLIENT_HELLO = 0xfe0d
const NOTHING = new Uint8Array(0)
const TOO_LARGE: HelloError = {
  kind: 'error',
  code: 'CLRK_TLS_HELLO_TOO_LARGE',
  details: { limit: LIMITS.clientHelloBytes },
}
