/**
 * What does the agent speak? Reads a connection's first bytes until they say: a TLS ClientHello, an HTTP request head,
 * or anything else. Takes nothing: the bytes come back for whoever handles the connection next.
 */
import type { Socket } from 'node:net'
import type { ClrkFault } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { readClientHello } from '../tls/client-hello.ts'

export type Sniffed =
  | {
      readonly kind: 'tls'
      readonly serverName: string | null
      readonly ech: boolean
      readonly alpn: readonly string[]
      readonly bytes: Buffer
    }
  /** `authority`: the Host field, or null where there is none or more than one. */
  | { readonly kind: 'http'; readonly authority: string | null; readonly bytes: Buffer }
  /** `undecided`: so far it could still become a request: see `refuseLateRequest`. */
  | { readonly kind: 'raw'; readonly bytes: Buffer; readonly undecided: boolean }
  | { readonly kind: 'error'; readonly fault: ClrkFault }
  /** Ended or timed out before it said anything worth an answer. */
  | { readonly kind: 'nothing' }

const TLS_HANDSHAKE = 0x16
/** Many origins take any token for a method, and skip empty lines before it (RFC 9112 §2.2, §3.1). */
const REQUEST = /^[\r\n]*(?:[A-Z]{3,16} |[!#$%&'*+.^_`|~\w-]{1,32} (?:[/*]|[hH][tT][tT][pP]))/
const REQUEST_PREFIX = /^[\r\n]*(?:[!#$%&'*+.^_`|~\w-]{1,32}(?: [hHtT]{0,3})?)?$/
const REQUEST_BYTES = 64
const END_OF_HEAD = '\r\n\r\n'

/**
 * `serverMaySpeakFirst`: after LIMITS.serverSpeaksFirstMs without a byte, or with a word that may be a protocol of its
 * own, the connection counts as `raw`. What began like TLS or HTTP and did not go on is an error after
 * LIMITS.clientHelloMs, never `raw`, or waiting would be a way past every check of names. Leaves the socket paused,
 * without listeners of its own.
 */
export function sniff(socket: Socket, serverMaySpeakFirst: boolean): Promise<Sniffed> {
  return new Promise(resolve => {
    let store = Buffer.allocUnsafe(4_096) // grown by doubling: one byte a segment must not cost a copy of all each time
    let length = 0
    let wanted = 1
    let bytes: Buffer = store.subarray(0, 0)
    const settle = (sniffed: Sniffed) => {
      clearTimeout(timer)
      socket.off('data', read).off('end', ended).off('close', ended)
      socket.pause()
      resolve(sniffed)
    }
    const read = (chunk: Buffer) => {
      if (length + chunk.length > store.length) {
        store = Buffer.concat([bytes], Math.max(2 * store.length, length + chunk.length))
      }
      chunk.copy(store, length)
      const searched = Math.max(0, length - END_OF_HEAD.length)
      length += chunk.length
      bytes = store.subarray(0, length)
      if (length < wanted) return
      const sniffed = classify(bytes, searched)
      if (typeof sniffed === 'number') wanted = sniffed
      else settle(sniffed)
    }
    const ended = () => {
      if (bytes.length === 0) settle({ kind: 'nothing' })
      else settle(isWord(bytes) ? { kind: 'raw', bytes, undecided: true } : UNFINISHED)
    }
    const silent = () => {
      if (isWord(bytes)) settle({ kind: 'raw', bytes, undecided: bytes.length > 0 })
      else timer = setTimeout(ended, LIMITS.clientHelloMs)
    }
    let timer = serverMaySpeakFirst
      ? setTimeout(silent, LIMITS.serverSpeaksFirstMs)
      : setTimeout(ended, LIMITS.clientHelloMs)
    socket.on('data', read).on('end', ended).on('close', ended)
    socket.resume()
  })
}

/** A number: at least so many bytes are needed; `searched` of them hold no end of a head. */
export function classify(bytes: Buffer, searched: number): Sniffed | number {
  if (bytes[0] === TLS_HANDSHAKE) {
    const hello = readClientHello(bytes)
    if (hello.kind === 'more') return hello.bytes
    if (hello.kind === 'error') return { kind: 'error', fault: { code: hello.code, details: hello.details } }
    return { kind: 'tls', serverName: hello.serverName, ech: hello.ech, alpn: hello.alpn, bytes }
  }
  const start = bytes.toString('latin1', 0, Math.min(bytes.length, REQUEST_BYTES))
  if (REQUEST.test(start)) {
    const end = bytes.indexOf(END_OF_HEAD, searched)
    if (end < 0 && bytes.length <= LIMITS.headBytes) return bytes.length + 1
    return { kind: 'http', authority: hostOf(bytes.toString('latin1', 0, end < 0 ? bytes.length : end)), bytes }
  }
  if (!REQUEST_PREFIX.test(start)) return { kind: 'raw', bytes, undecided: false }
  return bytes.length < REQUEST_BYTES ? bytes.length + 1 : UNFINISHED
}

/** Calls `refuse`, before `upstream` hears any of it, when what `agent` says after `first` makes a request of it. */
export function refuseLateRequest(agent: Socket, upstream: Socket, first: Buffer, refuse: () => void): void {
  let start = first.toString('latin1')
  const listen = (chunk: Buffer) => {
    start += chunk.toString('latin1', 0, REQUEST_BYTES)
    const isRequest = REQUEST.test(start)
    if (!isRequest && isWord(Buffer.from(start, 'latin1'))) return
    agent.off('data', listen)
    if (!isRequest) return
    upstream.destroy()
    refuse()
  }
  agent.on('data', listen)
}

/** Nothing, or what may be the beginning of a request or a message of some other protocol. */
function isWord(bytes: Buffer): boolean {
  return bytes.length < REQUEST_BYTES && REQUEST_PREFIX.test(bytes.toString('latin1'))
}

export const UNFINISHED = {
  kind: 'error',
  fault: {
    code: 'CLRK_PROTOCOL_NOT_ALLOWED',
    details: { expected: 'whole messages', found: 'the beginning of TLS or HTTP' },
  },
} as const satisfies Sniffed

function hostOf(head: string): string | null {
  const hosts = [...head.matchAll(/\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n|$)/gi)]
  return hosts.length === 1 ? (hosts[0]?.[1] ?? null) : null
}
