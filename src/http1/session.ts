/** The record of one agent connection. exchange.ts moves it from phase to phase, ending.ts ends what is open. */
import type { Duplex } from 'node:stream'
import type { Body, PayloadSink } from './body.ts'
import { createBody } from './body.ts'
import type { Deadline } from './deadline.ts'
import { createDeadline } from './deadline.ts'
import type { RequestHead } from './head.ts'
import type { HeadReader } from './head-reader.ts'
import { createRequestReader } from './head-reader.ts'
import type { Forward, Http1Hooks, UpstreamLease } from './hooks.ts'
import type { KeptBody } from './kept-body.ts'
import type { Watch } from './observe.ts'
import { sawRequestBody } from './observe.ts'
import type { Response, ResponseEvents } from './response.ts'
import { createResponse } from './response.ts'
import type { LegOwner } from './upstream-leg.ts'

export type Http1Options = {
  /** Bytes that were read before (for sniffing), or null. */
  readonly firstBytes: Buffer | null
  /** A connection without a request. */
  readonly idleMs: number
  /** From the first byte of a head to its end, and how long an agent may go on sending after a last answer. */
  readonly headMs: number
  /** No byte in either direction after the first byte of a response. */
  readonly streamIdleMs: number
}

/** What happens to a session from outside the agent's socket. */
export type SessionEvents = LegOwner &
  ResponseEvents & {
    /** The exchange is over: the next request, please. */
    readonly next: () => void
    /** The body that was kept for its decision is whole. */
    readonly read: () => void
    /** The deadline has passed. */
    readonly late: () => void
  }

export type Session = {
  readonly agent: Duplex
  readonly hooks: Http1Hooks
  readonly options: Http1Options
  readonly reader: HeadReader<RequestHead>
  readonly deadline: Deadline
  readonly events: SessionEvents
  readonly watch: Watch
  readonly requestBody: Body
  readonly sees: PayloadSink
  readonly response: Response
  /**
   * `head`: between requests. `decide`: a request waits for its decision or its upstream. `read`: its body is kept until
   * it is whole, for the decision. `forward`: an exchange is
   * open. `tunnel`: it was upgraded, bytes pass as they are. `linger`: our side has ended, what still comes is thrown
   * away. `closed`.
   */
  phase: 'head' | 'decide' | 'read' | 'forward' | 'tunnel' | 'linger' | 'closed'
  /** Bytes of the agent that are not consumed yet; while there are any outside `head` it is paused. */
  rest: Buffer
  paused: boolean
  /** The loop over `rest` runs: whoever it called must not start another. */
  consuming: boolean
  /** The agent has ended its side, and its socket lets us answer all the same. */
  ended: boolean
  /** The request that is being served, its decision, its rewritten head and its upstream. */
  head: RequestHead | null
  forward: Forward | null
  outgoing: string
  /** The body that was read before the decision, until it has gone out. */
  kept: KeptBody<Forward> | null
  lease: UpstreamLease | null
  /** A byte of the request body was taken: it cannot be sent again. */
  bodySent: boolean
  retried: boolean
}

export function createSession(agent: Duplex, hooks: Http1Hooks, options: Http1Options, events: SessionEvents): Session {
  const watch: Watch = { observer: null, report: hooks.report }
  return {
    agent,
    hooks,
    options,
    reader: createRequestReader(),
    deadline: createDeadline(events.late),
    events,
    watch,
    requestBody: createBody(),
    sees: (chunk, from, to) => sawRequestBody(watch, chunk, from, to),
    response: createResponse(agent, watch, events),
    phase: 'head',
    rest: EMPTY,
    paused: false,
    consuming: false,
    ended: false,
    head: null,
    forward: null,
    outgoing: '',
    kept: null,
    lease: null,
    bodySent: false,
    retried: false,
  }
}

/** Whoever may not send is paused, whoever may is not. */
export function steer(session: Session): void {
  const { phase, rest, requestBody, lease } = session
  const sends = phase === 'tunnel' || (phase === 'forward' && !requestBody.done)
  const fillsUpstream = sends && lease?.socket.writableNeedDrain === true
  const paused = rest.length > 0 || fillsUpstream
  if (paused === session.paused) return
  session.paused = paused
  if (paused) session.agent.pause()
  else session.agent.resume()
}

/** Something moved: the wait begins anew. */
export function awaitNext({ deadline, options, forward, response }: Session): void {
  deadline.set(response.started || forward === null ? options.streamIdleMs : forward.firstByteMs)
}

export const EMPTY = Buffer.alloc(0)
