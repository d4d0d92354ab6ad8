/** The seams of the HTTP/2 data path: what it is told and whom it tells. It decides nothing itself. */
import type { ClientHttp2Session } from 'node:http2'
import type { ClrkFault } from '../errors.ts'
import type { RequestHead, ResponseHead } from '../http1/head.ts'
import type { Answer, Forward, ReadBody, UpstreamLease } from '../http1/hooks.ts'

export type Http2Hooks = {
  /**
   * Called once for each request; its head is the one that HTTP/1.1 would have brought (head.ts). A throw or a rejection
   * answers CLRK_INTERNAL.
   */
  readonly decide: (head: RequestHead) => Http2Decision | Promise<Http2Decision>
  /**
   * The answer to a request that could not be forwarded. `head` is null where it could not be read, or where the whole
   * connection is at fault (its answer is not sent then).
   */
  readonly failed: (head: RequestHead | null, fault: ClrkFault) => Answer
  /** Something that a hook, an observer or a guard threw; the exchange goes on or fails closed without it. */
  readonly report: (error: unknown) => void
  /** A stream was opened; false: one too many, it is refused (REFUSED_STREAM) and `closed` is not called for it. */
  readonly opened: () => boolean
  /** A stream is closed. `cancelled`: before its end, by the agent; false ends the connection (ENHANCE_YOUR_CALM). */
  readonly closed: (cancelled: boolean) => boolean
  /** The agent sent a frame that costs it nothing (`LIMITS.http2ControlBurst`); false ends the connection in the same way. */
  readonly control: () => boolean
}

export type Http2Decision = Http2Forward | Answer | ReadBody<Http2Forward>

export type Http2Forward = Omit<Forward, 'acquire' | 'upgrade'> & {
  /**
   * Something to send the request on. `fresh`: because what was given first refused it. `streams`: it may need what only
   * HTTP/2 has, a body that goes on while the answer comes, or trailers. May reject with a ClrkError.
   */
  readonly acquire: (fresh: boolean, streams: boolean) => Upstream | Promise<Upstream>
}

/** What the origin speaks, lent for one exchange. */
export type Upstream = Http2Upstream | { readonly kind: 'http1'; readonly lease: UpstreamLease }

export type Http2Upstream = {
  readonly kind: 'http2'
  /** Shared with other exchanges. */
  readonly session: ClientHttp2Session
  /** Called exactly once, when the exchange is over. False: the connection may be dead and gets no further request. */
  readonly release: (healthy: boolean) => void
}

/** A request on its way to the origin, whatever the origin speaks. Nothing throws; after `abort` no event comes. */
export type Leg = {
  /** The next bytes of the body; false: wait for `drained`. */
  readonly write: (chunk: Buffer) => boolean
  readonly end: (trailers: Trailers) => void
  readonly pause: () => void
  readonly resume: () => void
  /** Ends it, and gives back what it was sent on. `late`: the origin did not answer in time. */
  readonly abort: (late: boolean) => void
}

export type LegEvents = {
  /** A complete head with a 1xx status. */
  readonly interim: (head: ResponseHead) => void
  /** `ended`: there is neither body nor trailers. `end` follows all the same. */
  readonly head: (head: ResponseHead, ended: boolean) => void
  readonly data: (chunk: Buffer, from: number, to: number) => void
  /** The last event of a complete response. */
  readonly end: (trailers: Trailers) => void
  readonly drained: () => void
  /** The last event of every other one. */
  readonly failed: (failure: LegFailure) => void
}

export type LegFailure = {
  /** The origin did not begin to act on it: it may be sent again (RFC 9113 §8.7). */
  readonly untouched: boolean
  /** The code with which the origin reset the stream, or null. */
  readonly code: number | null
  /** What it did, for CLRK_UPSTREAM_MALFORMED. */
  readonly reason: string
}

/** Names, lower case, and values by turns, bytes as latin1. */
export type Trailers = readonly string[]
