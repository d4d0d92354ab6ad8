/**
 * One agent connection: HTTP/1.1 requests in sequence, each decided, then exchanged with an upstream connection.
 *
 * Bytes flow by `data` and `drain` alone: a side that cannot write pauses the other, so memory stays flat. Nothing
 * throws out of an event handler; whatever fails ends in an answer while one is possible, else in a closed connection,
 * never in a response that only looks complete.
 */
import type { Duplex } from 'node:stream'
import { isClrkError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { startBody, takeBody } from './body.ts'
import {
  abort,
  answer,
  broken,
  close,
  ended,
  expired,
  fail,
  forget,
  giveBack,
  nameOf,
  refuse,
  refuseBody,
  release,
  spoilt,
} from './ending.ts'
import type { RequestHead } from './head.ts'
import type { Decision, Forward, Http1Hooks, UpstreamLease } from './hooks.ts'
import { sawRequestHead } from './observe.ts'
import { readBody, readMore, sendKept, sendMore, withoutExpect } from './read-body.ts'
import { awaitResponse, endResponse, relayResponse } from './response.ts'
import { refusedTrailers, rewriteRequestHead } from './rewrite.ts'
import { awaitNext, createSession, EMPTY, type Http1Options, type Session, steer } from './session.ts'
import { agentLeftTunnel, endTunnelUp, openTunnel, tunnelDown, tunnelUp, upstreamLeftTunnel } from './tunnel.ts'
import { ownUpstream } from './upstream-leg.ts'
import { slice, writeHead } from './write-head.ts'
import { tookBytes } from './young-garbage.ts'

/**
 * Serves `agent` until it closes; takes the socket over. `options` default to `LIMITS`.
 *
 * Pipelined requests wait for the one before them. When the agent ends its side in the middle of an exchange, that is
 * an abort and cancels the upstream at once, unless the socket allows half-open connections and the request is
 * complete: then the answer is still delivered. A response that begins before its request has ended is delivered and
 * ends the connection. A request that becomes a WebSocket is its connection's last (tunnel.ts).
 */
export function serveHttp1(agent: Duplex, hooks: Http1Hooks, options: Partial<Http1Options> = {}): void {
  const session = createSession(
    agent,
    hooks,
    { ...DEFAULTS, ...options },
    {
      upstreamData: chunk => upstreamData(session, chunk),
      upstreamDrained: () => {
        sendMore(session)
        steer(session)
      },
      upstreamClosed: inOrder => upstreamClosed(session, inOrder),
      delivered: () => finish(session),
      emptied: () => void (agent.writableNeedDrain || agentDrained(session)),
      spoilt: () => spoilt(session),
      next: () => nextRequest(session),
      read: () => decideKept(session),
      late: () => expired(session),
    },
  )
  agent.on('error', ignore) // 'close' follows
  agent.on('data', chunk => agentData(session, chunk))
  agent.on('drain', () => agentDrained(session))
  agent.on('end', () => agentEnded(session))
  agent.on('close', () => agentClosed(session))
  session.deadline.set(session.options.idleMs)
  if (session.options.firstBytes !== null) agentData(session, session.options.firstBytes)
  if (agent.destroyed) abort(session)
  else if (agent.readableEnded) agentEnded(session)
  else if (agent.isPaused() && !session.paused) agent.resume()
}

function agentData(session: Session, chunk: Buffer): void {
  tookBytes(chunk.length)
  if (session.phase === 'linger' || session.phase === 'closed') return
  if (session.phase === 'tunnel') return tunnelUp(session, chunk)
  if (session.phase === 'read') {
    readMore(session, chunk)
    return steer(session)
  }
  if (session.phase === 'forward' && !session.requestBody.done && session.rest.length === 0) {
    sendBody(session, chunk)
    return
  }
  session.rest = session.rest.length === 0 ? chunk : Buffer.concat([session.rest, chunk])
  if (session.phase === 'head') consume(session)
  else steer(session)
}

function agentDrained(session: Session): void {
  session.response.guarded?.resume()
  if (session.lease?.socket.isPaused()) session.lease.socket.resume()
  if (session.lease !== null && session.response.started) session.deadline.set(session.options.streamIdleMs)
  if (session.phase === 'head') consume(session)
}

function agentEnded(session: Session): void {
  session.ended = true
  if (session.phase === 'head') close(session)
  else if (session.phase === 'linger') return
  else if (session.phase === 'tunnel') endTunnelUp(session)
  else if (!session.agent.allowHalfOpen || !session.requestBody.done) abort(session)
}

function agentClosed(session: Session): void {
  if (session.phase === 'tunnel') agentLeftTunnel(session)
  else abort(session)
}

/** A loop, not a recursion: one segment may hold thousands of requests that are answered at once. */
function consume(session: Session): void {
  if (session.consuming) return
  session.consuming = true
  while (session.phase === 'head' && session.rest.length > 0 && !session.agent.writableNeedDrain) {
    const chunk = session.rest
    session.rest = EMPTY
    const result = session.reader.push(chunk)
    if (result.kind === 'head') begin(session, result.head, result.rest)
    else if (result.kind === 'error') refuse(session, result)
    else if (session.reader.pending() === chunk.length) session.deadline.set(session.options.headMs)
  }
  session.consuming = false
  steer(session)
}

function begin(session: Session, head: RequestHead, rest: Buffer): void {
  session.head = head
  session.rest = rest
  session.phase = 'decide'
  session.bodySent = session.retried = false
  session.deadline.set(Infinity)
  startBody(session.requestBody, head.framing)
  awaitResponse(session.response, head, null, null)
  try {
    proceed(session, session.hooks.decide(head), decided, ignore)
  } catch (error) {
    broken(session, error)
  }
}

/** Goes on with `value`, at once or when it is there; `unwanted` gets it where the exchange has ended meanwhile. */
function proceed<T>(
  session: Session,
  value: T | Promise<T>,
  next: (session: Session, value: T) => void,
  unwanted: (value: T) => void,
): void {
  if (!(value instanceof Promise)) {
    next(session, value)
    return
  }
  const { head } = session
  value
    .then(settled => {
      if (session.phase === 'decide' && session.head === head) next(session, settled)
      else unwanted(settled)
    })
    .catch(error => {
      if (session.head === head) broken(session, error)
      else if (!isClrkError(error)) session.hooks.report(error)
    })
}

function decided(session: Session, decision: Decision): void {
  const { head } = session
  if (head === null) return
  if (decision.kind === 'answer') {
    answer(session, decision)
    return
  }
  if (decision.kind === 'read-body') return readBody(session, decision.reader)
  const { kept } = session
  session.forward = decision
  session.watch.observer = decision.observer
  sawRequestHead(session.watch, head, decision.set)
  session.outgoing = rewriteRequestHead(head, kept === null ? decision : withoutExpect(decision), decision.upgrade)
  awaitResponse(session.response, head, decision.guard, decision.upgrade)
  if (head.framing.kind === 'chunked' && kept === null)
    startBody(session.requestBody, head.framing, refusedTrailers(decision))
  acquire(session, decision, false)
}

function decideKept(session: Session): void {
  try {
    if (session.kept !== null) decided(session, session.kept.reader.end())
  } catch (error) {
    broken(session, error)
  }
}

function acquire(session: Session, forward: Forward, fresh: boolean): void {
  session.phase = 'decide'
  session.deadline.set(forward.firstByteMs)
  try {
    proceed(session, forward.acquire(fresh), open, lease => giveBack(session, lease, false))
  } catch (error) {
    broken(session, error)
  }
}

function open(session: Session, lease: UpstreamLease): void {
  session.lease = lease
  session.phase = 'forward'
  ownUpstream(lease.socket, session.events)
  if (lease.socket.destroyed) {
    upstreamClosed(session, false)
    return
  }
  if (session.kept !== null) {
    if (sendKept(session, lease)) steer(session)
    else refuseBody(session)
    return
  }
  const { rest } = session
  const end = takeBody(session.requestBody, rest, 0, session.sees)
  if (end < 0) {
    refuseBody(session)
    return
  }
  session.bodySent = end > 0
  session.rest = end === rest.length ? EMPTY : rest.subarray(end)
  writeHead(lease.socket, session.outgoing, rest, 0, end)
  steer(session)
}

function sendBody(session: Session, chunk: Buffer): void {
  const end = takeBody(session.requestBody, chunk, 0, session.sees)
  if (end < 0) return refuseBody(session)
  session.bodySent = true
  session.lease?.socket.write(slice(chunk, 0, end))
  if (end < chunk.length) session.rest = chunk.subarray(end)
  awaitNext(session)
  steer(session)
}

function upstreamData(session: Session, chunk: Buffer): void {
  tookBytes(chunk.length)
  if (session.phase === 'tunnel') return tunnelDown(session, chunk)
  const { response } = session
  const progress = relayResponse(response, chunk, session.requestBody.done)
  if (progress === 'bad') return spoilt(session)
  if (progress === 'done') return finish(session)
  if (progress === 'switched') openTunnel(session)
  awaitNext(session)
  if (session.agent.writableNeedDrain || response.full) session.lease?.socket.pause()
}

function upstreamClosed(session: Session, inOrder: boolean): void {
  const { lease, forward, response, requestBody, kept } = session
  if (lease === null || forward === null) return
  if (session.phase === 'tunnel') return upstreamLeftTunnel(session, inOrder)
  const progress = endResponse(response, inOrder)
  if (progress === 'done') finish(session)
  if (progress !== 'bad') return
  // RFC 9110 §9.2.2: what may have been acted on is not sent twice, unless acting twice is the same as once.
  const unsent = !requestBody.done || kept !== null
  const replayable = !session.bodySent && (unsent || IDEMPOTENT.test(session.head?.method ?? ''))
  if (replayable && !response.heard && !lease.fresh && !session.retried) {
    release(session, false)
    session.retried = true
    acquire(session, forward, true)
    return
  }
  const reason = `it closed the connection ${response.started ? 'in the middle of its answer' : 'before it answered'}`
  fail(session, { code: 'CLRK_UPSTREAM_MALFORMED', details: { name: nameOf(session), reason } })
}

function finish(session: Session): void {
  const { response, requestBody, kept } = session
  ended(session, null, false)
  forget(session)
  release(session, response.reusable && requestBody.done && kept === null)
  if (response.closes || (session.ended && session.rest.length === 0)) close(session)
  else nextRequest(session)
}

function nextRequest(session: Session): void {
  session.head = null
  session.phase = 'head'
  session.deadline.set(session.options.idleMs)
  consume(session)
}

function ignore(): void {}

const DEFAULTS: Http1Options = {
  firstBytes: null,
  idleMs: LIMITS.agentIdleMs,
  headMs: LIMITS.clientHelloMs,
  streamIdleMs: LIMITS.streamIdleMs,
}

const IDEMPOTENT = /^(?:GET|HEAD|OPTIONS|PUT|DELETE)$/
