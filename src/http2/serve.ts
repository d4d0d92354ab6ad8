/**
 * One agent connection that speaks HTTP/2: its session, what bounds it, and its streams (RFC 9113 §10.5; T52).
 *
 * Frames are read by nghttp2 in node:http2, which bounds heads, CONTINUATION frames, SETTINGS entries and unread
 * acknowledgements; what costs the agent nothing is counted here.
 */
import { constants, performServerHandshake, type ServerHttp2Stream, type ServerSessionOptions } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { createDeadline } from '../http1/deadline.ts'
import { LIMITS } from '../limits.ts'
import { serveStream } from './exchange.ts'
import type { Http2Hooks } from './hooks.ts'
import { resetStream } from './stream.ts'

export type Http2Options = {
  /** A connection without a stream. */
  readonly idleMs: number
  /** No byte in either direction of an exchange after the first byte of its response. */
  readonly streamIdleMs: number
}

/** Ends the connection at once: GOAWAY, every stream reset, every upstream of them cancelled. */
export type Http2Connection = { readonly close: () => void }

/** Serves `agent`, on which ALPN has settled h2, until it closes; takes the socket over. `options` default to `LIMITS`. */
export function serveHttp2(agent: TLSSocket, hooks: Http2Hooks, options: Partial<Http2Options> = {}): Http2Connection {
  const { idleMs, streamIdleMs } = { ...DEFAULTS, ...options }
  const session = performServerHandshake(agent, SESSION)
  const deadline = createDeadline(() => {
    if (session.closed || session.destroyed) return void agent.destroy() // it does not take its GOAWAY
    session.close()
    deadline.set(LIMITS.clientHelloMs)
  })
  let open = 0

  function end(code: number, why?: Error): void {
    if (session.destroyed) return
    session.destroy(why, code) // without an error the code would not be sent
    deadline.set(LIMITS.clientHelloMs)
  }

  /** The agent does more often than is good for others what costs it nothing. */
  function calm(limit: string, maximum: number): void {
    if (session.destroyed) return
    hooks.failed(null, { code: 'CLRK_LIMIT', details: { limit, maximum } })
    end(constants.NGHTTP2_ENHANCE_YOUR_CALM, new Error(limit))
  }

  function serve(stream: ServerHttp2Stream, raw: readonly string[], flags: number): void {
    if (!hooks.opened()) {
      stream.on('error', () => {})
      return resetStream(stream, constants.NGHTTP2_REFUSED_STREAM)
    }
    open += 1
    deadline.clear()
    const bodyless = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
    serveStream(stream, raw, bodyless, hooks, streamIdleMs, cancelled => {
      open -= 1
      if (open === 0 && !session.destroyed) deadline.set(idleMs)
      if (!hooks.closed(cancelled)) calm('cancelled HTTP/2 streams a second', LIMITS.http2CancelPerSecond)
    })
  }

  const control = () => {
    if (!hooks.control()) calm('PING and SETTINGS frames a second', LIMITS.http2ControlPerSecond)
  }
  deadline.set(idleMs)
  session.on('error', () => {}) // 'close' follows
  session.on('close', deadline.clear)
  agent.on('end', () => end(constants.NGHTTP2_NO_ERROR)) // there is no half-open connection in HTTP/2
  session.on('stream', (stream, _headers, flags, raw) => serve(stream, raw, flags))
  session.on('ping', control)
  session.on('remoteSettings', control)
  return { close: () => end(constants.NGHTTP2_NO_ERROR) }
}

const DEFAULTS: Http2Options = { idleMs: LIMITS.agentIdleMs, streamIdleMs: LIMITS.streamIdleMs }

const SESSION: ServerSessionOptions = {
  settings: {
    maxConcurrentStreams: LIMITS.http2Streams,
    maxHeaderListSize: LIMITS.headBytes,
  },
  maxHeaderListPairs: LIMITS.headerFields,
  maxSettings: LIMITS.http2SettingsEntries,
  // What an origin says twice is passed on twice.
  strictSingleValueFields: false,
}
