/** Collects a head from the segments in which it comes, and parses it once it is complete. */
import { LIMITS } from '../limits.ts'
import type { HeadError, RequestHead, ResponseHead } from './head.ts'
import { malformed, malformedResponse, parseRequestHead, parseResponseHead } from './head.ts'

export type HeadResult<H> =
  | { readonly kind: 'more' }
  /** `rest`: the bytes after the head; a view that nobody writes to. */
  | { readonly kind: 'head'; readonly head: H; readonly rest: Buffer }
  | HeadError

export type HeadReader<H> = {
  /**
   * Takes the next bytes. After `head` the reader is ready for the next one; after `error` the connection is of no
   * more use. No byte is searched twice, so a head in one-byte segments costs no more than linear time.
   */
  push: (chunk: Buffer) => HeadResult<H>
  /** Bytes of an incomplete head that are held. */
  pending: () => number
}

/**
 * Errors are those of `parseRequestHead`, and CLRK_HEAD_TOO_LARGE past `LIMITS.headBytes`. One empty line before the
 * request line is skipped (RFC 9112 §2.2).
 */
export function createRequestReader(): HeadReader<RequestHead> {
  return createHeadReader(parseRequestHead, true, malformed, {
    kind: 'error',
    code: 'CLRK_HEAD_TOO_LARGE',
    details: { limit: LIMITS.headBytes },
  })
}

/** Every error is CLRK_UPSTREAM_MALFORMED with a `reason`. */
export function createResponseReader(): HeadReader<ResponseHead> {
  const tooLarge = malformedResponse(`the head is larger than ${LIMITS.headBytes} bytes`)
  return createHeadReader(parseResponseHead, false, malformedResponse, tooLarge)
}

function createHeadReader<H>(
  parse: (bytes: Buffer, start: number, end: number) => H | HeadError,
  skipsEmptyLine: boolean,
  refuse: (reason: string) => HeadError,
  tooLarge: HeadError,
): HeadReader<H> {
  // held[0, length) came, holds no end of a head, and its lines up to `length` are known to end in CRLF.
  let held = EMPTY
  let length = 0

  function push(chunk: Buffer): HeadResult<H> {
    if (length === 0) return search(chunk, 0)
    if (length + chunk.length > held.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * held.length, length + chunk.length))
      held.copy(larger, 0, 0, length)
      held = larger
    }
    chunk.copy(held, length)
    const searched = length
    length += chunk.length
    return search(held.subarray(0, length), searched)
  }

  /** `bytes`: all of the head that came; those before `searched` were looked at. */
  function search(bytes: Buffer, searched: number): HeadResult<H> {
    const start = skipsEmptyLine && bytes[0] === CR && bytes[1] === LF ? 2 : 0
    const end = bytes.indexOf(END_OF_HEAD, Math.max(start, searched - 3))
    if (end > LIMITS.headBytes - 4 || (end < 0 && bytes.length > LIMITS.headBytes)) return forget(tooLarge)
    if (end < 0) {
      // An old-style client ends its head with bare LF and waits for the answer: tell it now.
      if (hasBareLineFeed(bytes, searched)) return forget(refuse('a line of the head does not end with CRLF'))
      if (length === 0) {
        held = Buffer.allocUnsafe(Math.max(512, bytes.length))
        length = bytes.copy(held)
      }
      return MORE
    }
    const head = parse(bytes, start, end + 2)
    if (isError(head)) return forget(head)
    const rest = end + 4 === bytes.length ? EMPTY : bytes.subarray(end + 4)
    return forget({ kind: 'head', head, rest })
  }

  function forget<R>(result: R): R {
    held = EMPTY
    length = 0
    return result
  }

  return { push, pending: () => length }
}

function isError<H>(head: H | HeadError): head is HeadError {
  return (head as HeadError).kind === 'error'
}

function hasBareLineFeed(bytes: Buffer, from: number): boolean {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (at === 0 || bytes[at - 1] !== CR) return true
  }
  return false
}

const CR = 0x0d
const LF = 0x0a
const END_OF_HEAD = Buffer.from('\r\n\r\n')
const EMPTY = Buffer.alloc(0)
const MORE = { kind: 'more' } as const
