/** A request from HTTP/2 to an origin that speaks HTTP/2 too: one stream of a shared session. */
import type { Http2Stream } from 'node:http2'
import type { RequestHead } from '../http1/head.ts'
import { CODE } from './codes.ts'
import { FLAG } from './frames.ts'
import { fieldObject, requestFields, responseHeadOf } from './head.ts'
import type { Http2Upstream, Leg, LegEvents, Trailers } from './hooks.ts'

/** `outgoing`: the rewritten head of `request`. `bodyless`: the request has ended with its head. */
export function openHttp2Leg(
  upstream: Http2Upstream,
  request: RequestHead,
  outgoing: string,
  bodyless: boolean,
  events: LegEvents,
): Leg {
  const { session } = upstream
  // An agent may announce trailers or not. Where the length is known, waiting for them would cost a frame for nothing.
  const mayTrail = !bodyless && (request.framing.kind === 'none' || request.names.includes('trailer'))
  const stream = session.request(requestFields(outgoing, request.names.includes('te')), {
    endStream: bodyless,
    waitForTrailers: mayTrail,
  })
  let requestTrailers: Trailers = []
  let responseTrailers: Trailers = []
  let requestDone = bodyless
  let answered = false
  let cut = false
  let over = false

  function leave(healthy: boolean, code: number | null): void {
    over = true
    if (code !== null) resetStream(stream, code)
    if (stream.isPaused()) stream.resume() // what is still buffered would keep it from closing
    upstream.release(healthy)
  }

  function fail(reason: string): void {
    leave(true, CODE.protocol)
    events.failed({ untouched: false, code: null, reason })
  }

  /** `flags` 1: END_STREAM. */
  function responded(raw: readonly string[], flags: number): void {
    if (over) return
    const head = responseHeadOf(raw)
    if (head.kind === 'error') return fail(String(head.details.reason))
    if (answered || head.status === 101) return fail('it sent a head that answers nothing')
    if (head.status < 200) return events.interim(head)
    answered = true
    events.head(head, (flags & FLAG.endStream) !== 0)
  }

  function ended(): void {
    if (over || cut || !answered) return // `closed` follows
    leave(true, requestDone ? null : CODE.cancel)
    events.end(responseTrailers)
  }

  function closed(): void {
    if (over) return
    const lost = session.destroyed
    const { pending, rstCode } = stream
    const untouched = pending || rstCode === CODE.refused
    const code = lost && !untouched ? null : rstCode
    const reason = code === null ? 'it closed the connection' : `it reset the stream (code ${code})`
    leave(true, null)
    events.failed({ untouched, code: pending ? null : code, reason })
  }

  noteCut(stream, () => {
    cut = true
  })
  stream.on('error', () => {}) // 'close' follows
  stream.on('response', (_headers, flags, raw) => responded(raw, flags))
  stream.on('headers', (_headers, flags, raw) => responded(raw, flags))
  stream.on('trailers', (_headers, _flags, raw) => {
    responseTrailers = raw
  })
  stream.on('data', (chunk: Buffer) => {
    if (!over) events.data(chunk, 0, chunk.length)
  })
  stream.on('drain', () => {
    if (!over) events.drained()
  })
  stream.on('end', ended)
  stream.on('close', closed)
  stream.on('wantTrailers', () => stream.sendTrailers(fieldObject(requestTrailers)))
  return {
    write: chunk => over || stream.write(chunk),
    end: trailers => {
      if (over || requestDone) return
      requestDone = true
      requestTrailers = trailers
      stream.end()
    },
    pause: () => {
      if (!over) stream.pause()
    },
    resume: () => {
      if (!over) stream.resume()
    },
    abort: late => {
      if (!over) leave(!late, CODE.cancel)
    },
  }
}

/**
 * Resets a stream. Left to itself, `close` ends the writable side first, so that a body that was cut off would go out
 * with END_STREAM and look complete.
 */
function resetStream(stream: Http2Stream, code: number): void {
  stream._final = callback => callback()
  stream.close(code)
}

/**
 * A reset with NO_ERROR ends a stream for node:http2 as its proper end does. They are told apart by the order: a proper
 * end is pushed while the stream is open, that of a reset after it was closed.
 */
function noteCut(stream: Http2Stream, cut: () => void): void {
  const push = stream.push
  let ended = false
  stream.push = (chunk, encoding) => {
    if (chunk === null && !ended) {
      ended = true
      if (stream.closed) cut()
    }
    return push.call(stream, chunk, encoding)
  }
}
