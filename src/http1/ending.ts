/** How exchanges and connections end: with an answer while one is possible, else by closing; never half and silent. */
import type { ClrkFault } from '../errors.ts'
import { isClrkError } from '../errors.ts'
import { renderAnswer } from './answer.ts'
import { takeBody } from './body.ts'
import type { Answer, UpstreamLease } from './hooks.ts'
import { sawEnd } from './observe.ts'
import type { Session } from './session.ts'
import { EMPTY, steer } from './session.ts'
import { ownUpstream } from './upstream-leg.ts'

/** The exchange cannot go on: an answer if the agent has seen none yet, else a closed connection. */
export function fail(session: Session, fault: ClrkFault): void {
  ended(session, fault, false)
  release(session, false)
  forget(session)
  if (session.response.started) {
    destroy(session)
    return
  }
  try {
    answer(session, session.hooks.failed(session.head, fault))
  } catch (error) {
    session.hooks.report(error)
    destroy(session)
  }
}

/** What the upstream sends may not be passed on. */
export function spoilt(session: Session): void {
  const { code, problem } = session.response
  fail(session, { code, details: { name: nameOf(session), reason: problem } })
}

/** Bytes that are no request: nothing after them can be understood. */
export function refuse(session: Session, fault: ClrkFault): void {
  session.head = null
  session.response.started = false
  fail(session, { code: fault.code, details: fault.details })
}

export function refuseBody(session: Session): void {
  fail(session, { code: 'CLRK_HTTP_MALFORMED', details: { reason: session.requestBody.problem ?? '' } })
}

/** A hook failed. What was thrown is for `report`; the agent does not read it. */
export function broken(session: Session, error: unknown): void {
  if (!isClrkError(error)) session.hooks.report(error)
  fail(session, isClrkError(error) ? error.fault : INTERNAL)
}

export function answer(session: Session, given: Answer): void {
  const { head, requestBody } = session
  forget(session)
  // Who asked for another protocol may have gone on in it already.
  let closes = given.close || head === null || !head.keepAlive || head.upgrade !== null || session.ended
  if (requestBody.problem === null) {
    const end = takeBody(requestBody, session.rest, 0, null)
    if (end >= 0) session.rest = session.rest.subarray(end)
  }
  closes ||= !requestBody.done || requestBody.problem !== null
  session.agent.write(renderAnswer(given, head, closes))
  if (closes) close(session)
  else session.events.next()
}

/**
 * Ends our side once all is written, and lets the agent finish: closing while it still sends would reset the
 * connection and could take the answer away from it (RFC 9112 §9.6).
 */
export function close(session: Session): void {
  session.phase = 'linger'
  session.head = null
  session.rest = EMPTY
  session.deadline.set(session.options.streamIdleMs)
  session.agent.end(() => {
    if (session.phase === 'linger') session.deadline.set(session.options.headMs)
  })
  steer(session)
}

export function destroy(session: Session): void {
  session.phase = 'closed'
  session.head = null
  session.rest = EMPTY
  session.deadline.clear()
  session.agent.destroy()
}

/** The deadline has passed. */
export function expired(session: Session): void {
  const { phase, options, forward, response } = session
  if (phase === 'linger' || phase === 'closed') {
    destroy(session)
  } else if (phase === 'read') {
    fail(session, { code: 'CLRK_HTTP_MALFORMED', details: { reason: 'its body did not end in time' } })
  } else if (phase !== 'head') {
    const milliseconds = response.started ? options.streamIdleMs : (forward?.firstByteMs ?? 0)
    fail(session, { code: 'CLRK_UPSTREAM_TIMEOUT', details: { name: nameOf(session), milliseconds } })
  } else if (session.reader.pending() > 0) {
    refuse(session, { code: 'CLRK_HTTP_MALFORMED', details: { reason: 'its head did not end in time' } })
  } else {
    close(session)
  }
}

/** The agent has gone: so does everything that was done for it. */
export function abort(session: Session): void {
  if (session.phase === 'closed') return
  ended(session, null, true)
  release(session, false)
  forget(session)
  destroy(session)
}

export function ended(session: Session, fault: ClrkFault | null, aborted: boolean): void {
  if (session.watch.observer === null) return
  const { requestBody, response } = session
  sawEnd(session.watch, {
    bytesUp: requestBody.payloadBytes,
    bytesDown: response.body.payloadBytes,
    fault,
    aborted,
  })
}

/** What was kept of the request's body is not kept any longer. */
export function forget(session: Session): void {
  session.kept?.reader.release()
  session.kept = null
}

export function release(session: Session, reusable: boolean): void {
  const { lease, response } = session
  session.lease = null
  response.guarded?.destroy()
  if (lease !== null) giveBack(session, lease, reusable)
}

export function giveBack(session: Session, lease: UpstreamLease, reusable: boolean): void {
  ownUpstream(lease.socket, null)
  const usable = reusable && !lease.socket.destroyed && !lease.socket.readableEnded
  if (!usable) lease.socket.destroy()
  try {
    lease.release(usable)
  } catch (error) {
    session.hooks.report(error)
  }
}

/** The upstream's name, for details of a fault. */
export function nameOf(session: Session): string {
  return session.head?.host ?? 'the host'
}

const INTERNAL: ClrkFault = { code: 'CLRK_INTERNAL', details: { reason: 'A part of the proxy failed' } }
