/** How exchanges end: with an answer while one is possible, else by a reset of their stream; never half and silent. */
import type { ClrkFault } from '../errors.ts'
import { isClrkError } from '../errors.ts'
import type { Answer } from '../http1/hooks.ts'
import { sawEnd } from '../http1/observe.ts'
import { CODE } from './codes.ts'
import type { LegFailure } from './hooks.ts'
import { resetStream, sendData, sendEnd, sendHead } from './outgoing.ts'
import { type Exchange, forget, nameOf } from './stream.ts'

/** Runs `action` for an exchange that is not over; what it throws ends this exchange and nothing else. */
export function attempt(exchange: Exchange, action: () => void): void {
  if (exchange.phase === 'over') return
  try {
    action()
  } catch (error) {
    broken(exchange, error)
  }
}

/** The exchange cannot go on: an answer if the agent has seen none yet, else a reset. `late`: the origin was too slow. */
export function fail(exchange: Exchange, fault: ClrkFault, late = false): void {
  ended(exchange, fault, false)
  leave(exchange, late)
  if (exchange.started) return reset(exchange, CODE.internal)
  try {
    answer(exchange, exchange.hooks.failed(exchange.head, fault))
  } catch (error) {
    exchange.hooks.report(error)
    reset(exchange, CODE.internal)
  }
}

/** A hook failed. What was thrown is for `report`; the agent does not read it. */
export function broken(exchange: Exchange, error: unknown): void {
  if (exchange.phase === 'over') return exchange.hooks.report(error)
  if (!isClrkError(error)) exchange.hooks.report(error)
  fail(exchange, isClrkError(error) ? error.fault : INTERNAL)
}

/** What the origin did to a stream is done to the agent's; what happened to its connection is explained. */
export function legFailed(exchange: Exchange, { untouched, code, reason }: LegFailure, again: () => void): void {
  exchange.leg = null
  if (untouched && exchange.bytesUp === 0 && !exchange.started && !exchange.retried) return again()
  const fault: ClrkFault = { code: 'CLRK_UPSTREAM_MALFORMED', details: { name: nameOf(exchange), reason } }
  if (code === null) return fail(exchange, fault)
  ended(exchange, fault, false)
  reset(exchange, code === CODE.none ? CODE.internal : code)
}

export function answer(exchange: Exchange, given: Answer): void {
  const { stream } = exchange
  settle(exchange)
  exchange.deadline.set(exchange.streamIdleMs) // for an agent that does not read it
  const fields = [':status', String(given.status)]
  for (const [name, value] of given.headers) fields.push(name.toLowerCase(), value)
  const body = Buffer.from(given.body)
  fields.push('content-length', String(body.length))
  const silent = body.length === 0 || exchange.silent
  sendHead(stream, fields, silent)
  if (silent) return
  sendData(stream, body)
  sendEnd(stream, [])
}

/** The agent's stream is closed: so is everything that was done for it. */
export function agentClosed(exchange: Exchange): void {
  exchange.deadline.clear()
  if (exchange.phase === 'over') return
  ended(exchange, null, true)
  leave(exchange, false)
  exchange.phase = 'over'
}

export function expired(exchange: Exchange): void {
  const { phase, stream, started, streamIdleMs, forward } = exchange
  if (phase === 'over') return resetStream(stream, CODE.cancel)
  if (phase === 'read') {
    return fail(exchange, { code: 'CLRK_HTTP_MALFORMED', details: { reason: 'its body did not end in time' } })
  }
  const milliseconds = started ? streamIdleMs : (forward?.firstByteMs ?? 0)
  fail(exchange, { code: 'CLRK_UPSTREAM_TIMEOUT', details: { name: nameOf(exchange), milliseconds } }, true)
}

export function ended(exchange: Exchange, fault: ClrkFault | null, aborted: boolean): void {
  const { watch, bytesUp, bytesDown, guarded } = exchange
  guarded?.destroy()
  forget(exchange)
  if (watch.observer !== null) sawEnd(watch, { bytesUp, bytesDown, fault, aborted })
}

function reset(exchange: Exchange, code: number): void {
  settle(exchange)
  resetStream(exchange.stream, code)
}

function settle(exchange: Exchange): void {
  forget(exchange)
  exchange.phase = 'over'
  exchange.settled = true
  exchange.deadline.clear()
}

function leave(exchange: Exchange, late: boolean): void {
  const { leg } = exchange
  exchange.leg = null
  leg?.abort(late)
}

const INTERNAL: ClrkFault = { code: 'CLRK_INTERNAL', details: { reason: 'A part of the proxy failed' } }
