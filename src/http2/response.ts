/** One response, from the origin to the agent's stream: re-framed by HTTP/2, hop-by-hop fields gone, never buffered. */
import type { ResponseHead } from '../http1/head.ts'
import type { GuardSink } from '../http1/hooks.ts'
import { sawResponseBody, sawResponseHead } from '../http1/observe.ts'
import { rewriteResponseHead } from '../http1/rewrite.ts'
import { slice } from '../http1/write-head.ts'
import { tookBytes } from '../http1/young-garbage.ts'
import { LIMITS } from '../limits.ts'
import { attempt, broken, ended, fail } from './ending.ts'
import { allowedTrailers, fieldsOf, responseFields } from './head.ts'
import type { Trailers } from './hooks.ts'
import { isFull, sendData, sendEnd, sendHead } from './outgoing.ts'
import { awaitNext, type Exchange, nameOf } from './stream.ts'

export function relayInterim(exchange: Exchange, received: ResponseHead): void {
  const { stream, forward } = exchange
  if (++exchange.interim > LIMITS.interimResponses) {
    const reason = `it sent more than ${LIMITS.interimResponses} interim answers`
    return fail(exchange, { code: 'CLRK_UPSTREAM_MALFORMED', details: { name: nameOf(exchange), reason } })
  }
  awaitNext(exchange)
  const text = rewriteResponseHead(received, 'none', null)
  sendHead(stream, responseFields(forward?.guard?.head(text) ?? text), false)
}

/** `bodyless`: neither content nor trailers follow. */
export function relayHead(exchange: Exchange, received: ResponseHead, bodyless: boolean): void {
  const { stream, forward, watch } = exchange
  const guard = forward?.guard ?? null
  sawResponseHead(watch, received)
  const guarded = guard === null || bodyless ? null : guard.body(received, sinkOf(exchange))
  if (typeof guarded === 'string') return failEncoded(exchange, guarded)
  exchange.guarded = guarded
  // A guard may change the length, and 204 has none (RFC 9110 §8.6); HTTP/2 frames without it.
  const keepsLength = received.framing.kind === 'length' && !guarded?.decoded && received.status !== 204
  const text = rewriteResponseHead(received, keepsLength ? 'keep' : 'none', null)
  const fields = responseFields(guard === null ? text : guard.head(text))
  exchange.started = true
  awaitNext(exchange)
  if (bodyless) finish(exchange, fields)
  else sendHead(stream, fields, false)
}

export function relayData(exchange: Exchange, chunk: Buffer, from: number, to: number): void {
  const { watch, leg, guarded } = exchange
  exchange.bytesDown += to - from
  tookBytes(to - from)
  try {
    sawResponseBody(watch, chunk, from, to)
    const payload = slice(chunk, from, to)
    if (guarded === null) write(exchange, payload)
    else if (!guarded.write(payload)) leg?.pause()
    awaitNext(exchange)
  } catch (error) {
    broken(exchange, error)
  }
}

export function relayEnd(exchange: Exchange, trailers: Trailers): void {
  const { forward, guarded } = exchange
  const guard = forward?.guard ?? null
  exchange.leg = null
  const allowed = allowedTrailers(trailers, () => false)
  // A guard reads complete heads: the trailers are shown to it as one, since gRPC puts its errors there.
  exchange.responseTrailers = guard === null || allowed.length === 0 ? allowed : fieldsOf(guard.head(headOf(allowed)))
  if (guarded === null) finish(exchange)
  else guarded.end()
}

function write({ stream, leg, guarded }: Exchange, payload: Buffer): void {
  if (sendData(stream, payload)) return
  guarded?.pause()
  leg?.pause()
}

function sinkOf(exchange: Exchange): GuardSink {
  return {
    data: payload => attempt(exchange, () => write(exchange, payload)),
    end: () => attempt(exchange, () => finish(exchange)),
    drained: () => isFull(exchange.stream) || exchange.leg?.resume(),
    failed: reason => attempt(exchange, () => failEncoded(exchange, reason)),
  }
}

function failEncoded(exchange: Exchange, reason: string): void {
  fail(exchange, { code: 'CLRK_UPSTREAM_ENCODED', details: { name: nameOf(exchange), reason } })
}

/** Nothing more comes. `head`: neither has anything gone out yet, and this is all of it. */
function finish(exchange: Exchange, head: readonly string[] | null = null): void {
  const { stream, responseTrailers } = exchange
  ended(exchange, null, false)
  exchange.leg = null
  exchange.phase = 'over'
  exchange.settled = true
  exchange.deadline.set(exchange.streamIdleMs) // for what the agent has not read yet
  if (head === null) sendEnd(stream, responseTrailers)
  else sendHead(stream, head, true)
}

function headOf(trailers: Trailers): string {
  let text = 'HTTP/1.1 200 OK\r\n'
  for (let at = 0; at + 1 < trailers.length; at += 2) text += `${trailers[at]}: ${trailers[at + 1]}\r\n`
  return `${text}\r\n`
}
