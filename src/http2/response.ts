/** One response, from the origin to the agent's stream: re-framed by HTTP/2, hop-by-hop fields gone, never buffered. */
import { constants } from 'node:http2'
import type { ResponseHead } from '../http1/head.ts'
import { sawResponseBody, sawResponseHead } from '../http1/observe.ts'
import { rewriteResponseHead } from '../http1/rewrite.ts'
import { slice } from '../http1/write-head.ts'
import { LIMITS } from '../limits.ts'
import { broken, ended, fail } from './ending.ts'
import { allowedTrailers, fieldObject, fieldsOf, responseFields } from './head.ts'
import type { Trailers } from './hooks.ts'
import { awaitNext, type Exchange, nameOf, respond } from './stream.ts'

export function relayInterim(exchange: Exchange, received: ResponseHead): void {
  const { stream, forward } = exchange
  if (++exchange.interim > LIMITS.interimResponses) {
    const reason = `it sent more than ${LIMITS.interimResponses} interim answers`
    return fail(exchange, { code: 'CLRK_UPSTREAM_MALFORMED', details: { name: nameOf(exchange), reason } })
  }
  awaitNext(exchange)
  const text = rewriteResponseHead(received, 'none', null)
  stream.additionalHeaders(fieldObject(responseFields(forward?.guard?.head(text) ?? text)))
}

/** `bodyless`: neither content nor trailers follow. */
export function relayHead(exchange: Exchange, received: ResponseHead, bodyless: boolean): void {
  const { stream, forward, watch } = exchange
  const guard = forward?.guard ?? null
  sawResponseHead(watch, received)
  // A guard may change the length, and 204 has none (RFC 9110 §8.6); HTTP/2 frames without it.
  const keepsLength = received.framing.kind === 'length' && guard === null && received.status !== 204
  const text = rewriteResponseHead(received, keepsLength ? 'keep' : 'none', null)
  const fields = responseFields(guard === null ? text : guard.head(text))
  exchange.started = true
  exchange.waits = !bodyless && (!keepsLength || received.names.includes('trailer'))
  awaitNext(exchange)
  respond(stream, fields, bodyless, exchange.waits)
}

export function relayData(exchange: Exchange, chunk: Buffer, from: number, to: number): void {
  const { stream, forward, watch, leg } = exchange
  exchange.bytesDown += to - from
  try {
    sawResponseBody(watch, chunk, from, to)
    const payload = slice(chunk, from, to)
    if (!stream.write(forward?.guard?.body(payload) ?? payload)) leg?.pause()
    awaitNext(exchange)
  } catch (error) {
    broken(exchange, error)
  }
}

export function relayEnd(exchange: Exchange, trailers: Trailers): void {
  const { stream, forward } = exchange
  const guard = forward?.guard ?? null
  exchange.leg = null
  const held = guard?.end()
  if (held !== undefined && held.length > 0) stream.write(held)
  const allowed = allowedTrailers(trailers, () => false)
  // A guard reads complete heads: the trailers are shown to it as one, since gRPC puts its errors there.
  exchange.responseTrailers = guard === null || allowed.length === 0 ? allowed : fieldsOf(guard.head(headOf(allowed)))
  ended(exchange, null, false)
  exchange.phase = 'over'
  exchange.settled = true
  exchange.deadline.set(exchange.streamIdleMs) // for what the agent has not read yet
  if (!stream.writableEnded) stream.end()
  if (!exchange.waits) stopRequest(exchange)
}

/** The last bytes have gone out. */
export function sendTrailers(exchange: Exchange): void {
  const { stream, responseTrailers } = exchange
  if (stream.destroyed || stream.closed) return
  stream.sendTrailers(fieldObject(responseTrailers))
  setImmediate(stopRequest, exchange) // node:http2 sends trailers in the next turn
}

/** The response is complete and the request is not: the agent may stop sending it (RFC 9113 §8.1). */
function stopRequest({ stream, requestDone }: Exchange): void {
  if (!requestDone && !stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR)
}

function headOf(trailers: Trailers): string {
  let text = 'HTTP/1.1 200 OK\r\n'
  for (let at = 0; at + 1 < trailers.length; at += 2) text += `${trailers[at]}: ${trailers[at + 1]}\r\n`
  return `${text}\r\n`
}
