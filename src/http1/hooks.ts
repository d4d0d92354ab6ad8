/** The seams of the HTTP/1.1 data path: what it is told and whom it tells. It decides nothing itself. */
import type { Duplex } from 'node:stream'
import type { ClrkFault } from '../errors.ts'
import type { RequestHead, ResponseHead } from './head.ts'
import type { RequestChanges } from './rewrite.ts'
import type { WebSocketRequest } from './websocket.ts'

export type Http1Hooks = {
  /** Called once for each request, in order. A throw or a rejection answers CLRK_INTERNAL. */
  readonly decide: (head: RequestHead) => Decision | Promise<Decision>
  /** The answer to a request that could not be forwarded. `head` is null where it could not be parsed. */
  readonly failed: (head: RequestHead | null, fault: ClrkFault) => Answer
  /** Something that a hook, an observer or a guard threw; the exchange goes on or fails closed without it. */
  readonly report: (error: unknown) => void
}

export type Decision = Forward | Answer | ReadBody<Forward>

/** What becomes of the request depends on its body: it is kept until it is whole, and goes on as it came. */
export type ReadBody<F> = { readonly kind: 'read-body'; readonly reader: BodyReader<F> }

/** Reads one body for a decision. */
export type BodyReader<F> = {
  /** Asked before `bytes` more are kept. An answer: they are not, and it is the answer to the request. */
  readonly room: (bytes: number) => Answer | null
  /** The payload, without framing, in order. */
  readonly payload: (chunk: Buffer, from: number, to: number) => void
  /** The body is whole. */
  readonly end: () => F | Answer
  /** What was kept has gone out, or has been thrown away. May be called again. */
  readonly release: () => void
}

export type Forward = RequestChanges & {
  readonly kind: 'forward'
  /** What the request is to become (`readUpgrade`), or null; the two sockets are joined when the upstream agrees. */
  readonly upgrade: WebSocketRequest | null
  /**
   * A connection to the upstream. `fresh`: one on which nothing was ever sent (the retry after a stale one).
   * May reject with a ClrkError, whose fault goes to `failed`.
   */
  readonly acquire: (fresh: boolean) => UpstreamLease | Promise<UpstreamLease>
  readonly observer: ExchangeObserver | null
  readonly guard: ResponseGuard | null
  /** From the last byte sent to the first byte of the response, and for `acquire`. */
  readonly firstByteMs: number
}

export type Answer = {
  readonly kind: 'answer'
  readonly status: number
  readonly reason: string
  /** Without framing and Connection, which are ours. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Sent as UTF-8. */
  readonly body: string
  /** Close the agent's connection after it. Closed anyway where the rest of the request cannot be told apart. */
  readonly close: boolean
}

/** An upstream connection for one exchange. HTTP/1.1 listens on the socket as long as it lives: share it with nothing else. */
export type UpstreamLease = {
  readonly socket: Duplex
  /** Nothing was ever sent on it. */
  readonly fresh: boolean
  /** Called exactly once. False: the socket is destroyed and must not be leased again. */
  readonly release: (reusable: boolean) => void
}

/**
 * Sees an exchange as it passes. Chunks are the very bytes that were read, `[from, to)` is payload without framing;
 * they may be kept and never written to. An observer that throws sees no more and breaks nothing.
 */
export type ExchangeObserver = {
  /** The head as received, and the names that were set on it. */
  readonly requestHead: (head: RequestHead, set: readonly (readonly [name: string, value: string])[]) => void
  readonly requestBody: (chunk: Buffer, from: number, to: number) => void
  /** The final response as received; interim ones are not shown. */
  readonly responseHead: (head: ResponseHead) => void
  readonly responseBody: (chunk: Buffer, from: number, to: number) => void
  /** Always the last call, exactly once. */
  readonly end: (summary: ExchangeSummary) => void
}

export type ExchangeSummary = {
  /** Payload bytes of the request, and of the response; after an upgrade all bytes behind the heads. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Why clrk ended it, or null. */
  readonly fault: ClrkFault | null
  /** The agent went away before the response was complete. */
  readonly aborted: boolean
}

/**
 * Changes a response so that no secret is echoed (T79, T80). Of one exchange. Lengths stay; while there is one, a chunked
 * body is chunked anew and its trailers are dropped. One that throws ends the exchange: nothing goes to the agent past it.
 */
export type ResponseGuard = {
  /** A complete head, final or interim, or trailers in the form of one, as it would go out; returns what goes out. */
  readonly head: (text: string) => string
  /** Begins the body that belongs to `head`; a text (CLRK_UPSTREAM_ENCODED) where it cannot be read, and must not go out. */
  readonly body: (head: ResponseHead, sink: GuardSink) => GuardedBody | string
  /** After a 101: from the bytes of the origin's frames to those that may go out now. Throws a ClrkError. */
  readonly frames: () => (chunk: Buffer) => Buffer
}

/** Where a guarded body goes, within `write` and `end` or later. */
export type GuardSink = {
  /** Never empty. */
  readonly data: (payload: Buffer) => void
  /** All of it has gone to `data`. */
  readonly end: () => void
  /** A `write` that said false may be followed by another. */
  readonly drained: () => void
  /** CLRK_UPSTREAM_ENCODED */
  readonly failed: (reason: string) => void
}

export type GuardedBody = {
  /** Its content coding is taken off: another length, and no Content-Encoding. */
  readonly decoded: boolean
  /** The next payload; false: wait for `drained`. */
  readonly write: (slice: Buffer) => boolean
  readonly end: () => void
  readonly pause: () => void
  readonly resume: () => void
  /** After it nothing is called. */
  readonly destroy: () => void
}
