/**
 * One stream of an agent: its request decided, then exchanged with the origin in whatever the origin speaks.
 *
 * Bytes flow by `data` and `drain` alone: a side that cannot write pauses the other. Nothing throws out of an event
 * handler; whatever fails ends in an answer while one is possible, else in a reset stream, never in a response that only
 * looks complete, and never in the end of another stream.
 */
import { isClrkError } from '../errors.ts'
import { createDeadline } from '../http1/deadline.ts'
import { dashed } from '../http1/grammar.ts'
import { type HeadError, malformed } from '../http1/head.ts'
import { sealKept } from '../http1/kept-body.ts'
import { sawRequestBody, sawRequestHead } from '../http1/observe.ts'
import { withoutExpect } from '../http1/read-body.ts'
import { rewriteRequestHead } from '../http1/rewrite.ts'
import { LIMITS } from '../limits.ts'
import { CODE } from './codes.ts'
import type { Stream } from './connection.ts'
import { agentClosed, answer, attempt, broken, expired, fail, legFailed } from './ending.ts'
import { allowedTrailers, requestHeadOf } from './head.ts'
import type { Http2Decision, Http2Forward, Http2Hooks, LegEvents, Upstream } from './hooks.ts'
import type { FieldList } from './hpack-decode.ts'
import { openHttp1Leg } from './http1-leg.ts'
import { openHttp2Leg } from './http2-leg.ts'
import { pause, resume } from './inbox.ts'
import { isWhole } from './incoming.ts'
import { resetStream } from './outgoing.ts'
import { readBody, readMore, sendKept } from './read-body.ts'
import { relayData, relayEnd, relayHead, relayInterim } from './response.ts'
import { awaitNext, type Exchange } from './stream.ts'

/** Serves one request. `closed` is called once, when the stream is closed; `cancelled`: before its exchange ended. */
export function serveStream(
  stream: Stream,
  { fields, cut }: FieldList,
  hooks: Http2Hooks,
  streamIdleMs: number,
  closed: (cancelled: boolean) => void,
): void {
  const exchange: Exchange = {
    stream,
    hooks,
    streamIdleMs,
    watch: { observer: null, report: hooks.report },
    deadline: createDeadline(() => expired(exchange)),
    phase: 'decide',
    settled: false,
    head: null,
    forward: null,
    leg: null,
    kept: null,
    guarded: null,
    requestDone: stream.requestDone,
    requestTrailers: [],
    responseTrailers: [],
    silent: fields[fields.indexOf(':method') + 1] === 'HEAD',
    started: false,
    retried: false,
    interim: 0,
    bytesUp: 0,
    bytesDown: 0,
  }
  stream.owner = {
    data: chunk => attempt(exchange, () => agentData(exchange, chunk)),
    end: trailers => {
      exchange.requestDone = true
      exchange.requestTrailers = trailers
      attempt(exchange, () => endRequest(exchange))
    },
    drained: () =>
      attempt(exchange, () => {
        exchange.guarded?.resume()
        exchange.leg?.resume()
      }),
    closed: () => {
      agentClosed(exchange)
      closed(!exchange.settled)
    },
  }
  const head = cut === null ? requestHeadOf(fields) : TOO_LARGE[cut]
  if (head.kind === 'error') return fail(exchange, { code: head.code, details: head.details })
  if (head.framing.kind === 'length') stream.expected = head.framing.length
  if (stream.requestDone && !isWhole(stream)) return resetStream(stream, CODE.protocol)
  exchange.head = head
  try {
    proceed(exchange, hooks.decide(head), decided, ignore)
  } catch (error) {
    broken(exchange, error)
  }
}

/** Goes on with `value`, at once or when it is there; `unwanted` gets it where the stream has closed meanwhile. */
function proceed<T>(
  exchange: Exchange,
  value: T | Promise<T>,
  next: (exchange: Exchange, value: T) => void,
  unwanted: (value: T) => void,
): void {
  if (!(value instanceof Promise)) return next(exchange, value)
  value
    .then(settled => {
      if (exchange.phase === 'decide') next(exchange, settled)
      else unwanted(settled)
    })
    .catch(error => {
      if (exchange.phase !== 'over') broken(exchange, error)
      else if (!isClrkError(error)) exchange.hooks.report(error)
    })
}

function decided(exchange: Exchange, decision: Http2Decision): void {
  const { head } = exchange
  if (head === null) return
  if (decision.kind === 'answer') return answer(exchange, decision)
  if (decision.kind === 'read-body') {
    readBody(exchange, decision.reader)
    return exchange.requestDone ? endRequest(exchange) : resume(exchange.stream)
  }
  exchange.forward = decision
  exchange.watch.observer = decision.observer
  sawRequestHead(exchange.watch, head, decision.set)
  const changes = exchange.kept === null ? decision : withoutExpect(decision)
  acquire(exchange, decision, rewriteRequestHead(head, changes), false)
}

function acquire(exchange: Exchange, forward: Http2Forward, outgoing: string, fresh: boolean): void {
  exchange.phase = 'decide'
  exchange.deadline.set(forward.firstByteMs)
  try {
    proceed(
      exchange,
      forward.acquire(fresh, streams(exchange)),
      (_, upstream) => open(exchange, upstream, outgoing),
      giveBack,
    )
  } catch (error) {
    broken(exchange, error)
  }
}

function open(exchange: Exchange, upstream: Upstream, outgoing: string): void {
  const { head, forward, stream, requestDone } = exchange
  if (head === null || forward === null) return giveBack(upstream)
  const bodyless = requestDone && exchange.requestTrailers.length === 0 && (exchange.kept?.bytes ?? 0) === 0
  const again = () => {
    exchange.retried = true
    pause(stream)
    acquire(exchange, forward, outgoing, true)
  }
  const events: LegEvents = {
    interim: received => attempt(exchange, () => relayInterim(exchange, received)),
    head: (received, ended) => attempt(exchange, () => relayHead(exchange, received, ended)),
    data: (chunk, from, to) => relayData(exchange, chunk, from, to),
    end: trailers => attempt(exchange, () => relayEnd(exchange, trailers)),
    drained: () => (exchange.kept === null ? resume(stream) : endRequest(exchange)),
    failed: failure => attempt(exchange, () => legFailed(exchange, failure, again)),
  }
  try {
    exchange.leg =
      upstream.kind === 'http2'
        ? openHttp2Leg(upstream, head, outgoing, bodyless, events)
        : openHttp1Leg(upstream.lease, head, outgoing, bodyless, events)
  } catch (error) {
    giveBack(upstream)
    return broken(exchange, error)
  }
  exchange.phase = 'forward'
  if (requestDone) return endRequest(exchange)
  resume(stream)
}

function agentData(exchange: Exchange, chunk: Buffer): void {
  const { leg, stream, watch } = exchange
  if (exchange.phase === 'read') return readMore(exchange, chunk)
  if (leg === null) return
  exchange.bytesUp += chunk.length
  sawRequestBody(watch, chunk, 0, chunk.length)
  if (!leg.write(chunk)) pause(stream)
  awaitNext(exchange)
}

function endRequest(exchange: Exchange): void {
  const { leg, forward, requestTrailers, kept } = exchange
  if (exchange.phase === 'read' && kept !== null) {
    exchange.phase = 'decide'
    exchange.deadline.set(Infinity)
    sealKept(kept)
    return attempt(exchange, () => decided(exchange, kept.reader.end()))
  }
  if (leg === null || forward === null || !sendKept(exchange, leg)) return
  awaitNext(exchange)
  if (requestTrailers.length === 0) return leg.end(requestTrailers)
  const { remove, set } = forward
  const taken = (name: string) => remove(name) || set.some(([own]) => dashed(own.toLowerCase()) === name)
  leg.end(allowedTrailers(requestTrailers, taken))
}

/** Of unknown length, or announced: gRPC is both. A body of known length may as well go out in HTTP/1.1. */
function streams({ head, requestDone }: Exchange): boolean {
  return head === null || (!requestDone && head.framing.kind === 'none') || head.names.some(name => TRAILS.test(name))
}

/** For one whom nobody waits for any more. */
function giveBack(upstream: Upstream): void {
  if (upstream.kind === 'http2') return upstream.release(true)
  upstream.lease.socket.destroy()
  upstream.lease.release(false)
}

const TOO_LARGE: Readonly<Record<'bytes' | 'fields', HeadError>> = {
  bytes: { kind: 'error', code: 'CLRK_HEAD_TOO_LARGE', details: { limit: LIMITS.headBytes } },
  fields: malformed(`there are more than ${LIMITS.headerFields} header fields`),
}

const TRAILS = /^(?:te|trailer)$/

function ignore(): void {}
