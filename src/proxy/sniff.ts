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
  | { readonly kind: 'raw'; readonly bytes: Buffer }
  | { readonly kind: 'error'; readonly fault: ClrkFault }
  /** Ended or timed out before it said anything worth an answer. */
  | { readonly kind: 'nothing' }

const TLS_HANDSHAKE = 0x16
const METHOD = /^[A-Z]{3,16} /
const METHOD_PREFIX = /^[A-Z]{0,16}$/
const END_OF_HEAD = '\r\n\r\n'

/**
 * `serverMaySpeakFirst`: after LIMITS.serverSpeaksFirstMs without a byte the connection counts as `raw`. Otherwise
 * LIMITS.clientHelloMs bounds the whole. Leaves the socket paused, without listeners of its own.
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
    const ended = () => settle(bytes.length > 0 ? { kind: 'raw', bytes } : { kind: 'nothing' })
    const timer = setTimeout(
      () => settle(serverMaySpeakFirst || bytes.length > 0 ? { kind: 'raw', bytes } : { kind: 'nothing' }),
      serverMaySpeakFirst ? LIMITS.serverSpeaksFirstMs : LIMITS.clientHelloMs,
    )
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
  const start = bytes.toString('latin1', 0, Math.min(bytes.length, 17))
  if (METHOD.test(start)) {
    const end = bytes.indexOf(END_OF_HEAD, searched)
    if (end < 0 && bytes.length <= LIMITS.headBytes) return bytes.length + 1
    return { kind: 'http', authority: hostOf(bytes.toString('latin1', 0, end < 0 ? bytes.length : end)), bytes }
  }
  return METHOD_PREFIX.test(start) && bytes.length < 17 ? bytes.length + 1 : { kind: 'raw', bytes }
}

function hostOf(head: string): string | null {
  const hosts = [...head.matchAll(/\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n|$)/gi)]
  return hosts.length === 1 ? (hosts[0]?.[1] ?? null) : null
}
