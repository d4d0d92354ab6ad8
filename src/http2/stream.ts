/** The record of one stream. exchange.ts moves it from phase to phase, response.ts relays, ending.ts ends what is open. */
import type { Deadline } from '../http1/deadline.ts'
import type { RequestHead } from '../http1/head.ts'
import type { GuardedBody } from '../http1/hooks.ts'
import type { KeptBody } from '../http1/kept-body.ts'
import type { Watch } from '../http1/observe.ts'
import type { Stream } from './connection.ts'
import type { Http2Forward, Http2Hooks, Leg, Trailers } from './hooks.ts'

export type Exchange = {
  readonly stream: Stream
  readonly hooks: Http2Hooks
  /** No byte in either direction after the first byte of a response. */
  readonly streamIdleMs: number
  readonly watch: Watch
  readonly deadline: Deadline
  /**
   * `decide`: waits for its decision or its upstream. `read`: its body is kept until it is whole, for the decision.
   * `forward`: it has a leg. `over`: nothing more is done for it.
   */
  phase: 'decide' | 'read' | 'forward' | 'over'
  /** It came to an end of its own, with an answer or without: whatever the agent does now, it cancels nothing. */
  settled: boolean
  head: RequestHead | null
  forward: Http2Forward | null
  leg: Leg | null
  /** The body that was read before the decision, until it has gone out. */
  kept: KeptBody<Http2Forward> | null
  /** The body on its way through the guard, or null. */
  guarded: GuardedBody | null
  /** All of the request has come. */
  requestDone: boolean
  requestTrailers: Trailers
  responseTrailers: Trailers
  /** The request's method is HEAD, whatever else is wrong with it: its answer has no body. */
  readonly silent: boolean
  /** The final head has gone to the agent: no other answer is possible. */
  started: boolean
  retried: boolean
  interim: number
  bytesUp: number
  bytesDown: number
}

/** Something moved: the wait begins anew. */
export function awaitNext({ deadline, started, forward, streamIdleMs }: Exchange): void {
  deadline.set(started || forward === null ? streamIdleMs : forward.firstByteMs)
}

/** What was kept of the request's body is not kept any longer. */
export function forget(exchange: Exchange): void {
  exchange.kept?.reader.release()
  exchange.kept = null
}

/** The origin's name, for details of a fault. */
export function nameOf({ head }: Exchange): string {
  return head?.host ?? 'the host'
}
