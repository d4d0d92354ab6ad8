/**
 * One agent connection that speaks HTTP/2: what bounds it, how it ends, and its streams (RFC 9113; T52). Frames and
 * windows are incoming.ts and outgoing.ts; what costs the agent nothing is counted by the hooks.
 */
import type { Duplex } from 'node:stream'
import { createDeadline } from '../http1/deadline.ts'
import { tookBytes } from '../http1/young-garbage.ts'
import { LIMITS } from '../limits.ts'
import { CODE } from './codes.ts'
import { closeStream, createConnection } from './connection.ts'
import { serveStream } from './exchange.ts'
import type { Http2Hooks } from './hooks.ts'
import { createIncoming } from './incoming.ts'
import { flush, sendGoaway, sendSettings, sendWaiting } from './outgoing.ts'

export type Http2Options = {
  /** A connection without a stream. */
  readonly idleMs: number
  /** No byte in either direction of an exchange after the first byte of its response. */
  readonly streamIdleMs: number
}

/** Ends the connection at once: GOAWAY, and every upstream of its streams cancelled. */
export type Http2Connection = { readonly close: () => void }

/** Serves `agent`, on which ALPN has settled h2, until it closes; takes the socket over. `options` default to `LIMITS`. */
export function serveHttp2(agent: Duplex, hooks: Http2Hooks, options: Partial<Http2Options> = {}): Http2Connection {
  const { idleMs, streamIdleMs } = { ...DEFAULTS, ...options }
  const deadline = createDeadline(() => {
    if (connection.ended)
      agent.destroy() // it does not take its GOAWAY
    else end(CODE.none)
  })
  const connection = createConnection(agent, {
    request: (stream, list) => {
      if (!hooks.opened()) return false
      deadline.set(Infinity)
      serveStream(stream, list, hooks, streamIdleMs, cancelled => {
        if (!hooks.closed(cancelled)) calm('cancelled HTTP/2 streams a second', LIMITS.http2CancelPerSecond)
      })
      return true
    },
    control: () => {
      if (!hooks.control()) calm('HTTP/2 frames of no use a second', LIMITS.http2ControlPerSecond)
    },
    idle: () => {
      if (connection.ended) return
      if (connection.leaving) end(CODE.none)
      else deadline.set(idleMs)
    },
    end,
  })
  const reader = createIncoming(connection)

  function end(code: number): void {
    if (connection.ended) return
    reader.stop()
    sendGoaway(connection, code)
    flush(connection)
    over()
    agent.end()
    agent.resume() // closed with bytes unread, the system would reset it, and the agent lose its GOAWAY
    deadline.set(LIMITS.clientHelloMs)
  }

  function over(): void {
    connection.ended = true
    for (const stream of connection.streams.values()) closeStream(stream, null)
  }

  /** The agent does more often than is good for others what costs it nothing. */
  function calm(limit: string, maximum: number): void {
    if (connection.ended) return
    try {
      hooks.failed(null, { code: 'CLRK_LIMIT', details: { limit, maximum } })
    } catch (error) {
      hooks.report(error)
    }
    end(CODE.calm)
  }

  function closed(): void {
    reader.stop()
    over()
    deadline.clear()
  }

  agent.on('error', () => {}) // 'close' follows
  agent.on('close', closed)
  if (agent.destroyed) closed()
  else {
    deadline.set(idleMs)
    sendSettings(connection)
    agent.on('drain', () => {
      if (connection.stalled) agent.resume()
      connection.stalled = false
      sendWaiting(connection)
    })
    agent.on('end', () => end(CODE.none)) // there is no half-open connection in HTTP/2
    agent.on('data', chunk => {
      tookBytes(chunk.length)
      try {
        reader.push(chunk)
      } catch (error) {
        hooks.report(error)
        end(CODE.internal)
      }
    })
  }
  return { close: () => end(CODE.none) }
}

const DEFAULTS: Http2Options = { idleMs: LIMITS.agentIdleMs, streamIdleMs: LIMITS.streamIdleMs }
