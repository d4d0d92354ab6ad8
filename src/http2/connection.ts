/**
 * The record of one agent connection and of its streams (RFC 9113 §5): incoming.ts changes it by what comes, outgoing.ts
 * by what goes out, inbox.ts holds what an exchange does not take yet.
 */
import type { Duplex } from 'node:stream'
import { createOutbox, type Outbox } from '../http1/outbox.ts'
import type { FieldList } from './hpack-decode.ts'

export type ConnectionEvents = {
  /** A request; `bodyless`: it has ended. Sets `owner` of its stream. False: it is refused (REFUSED_STREAM). */
  readonly request: (stream: Stream, list: FieldList, bodyless: boolean) => boolean
  /** The agent did what costs it nothing, and is not a part of any exchange. */
  readonly control: () => void
  /** The agent broke the protocol, or leaves: the connection ends with `code`. */
  readonly end: (code: number) => void
  /** A stream was the last one that was open. */
  readonly idle: () => void
}

/** Whom a stream speaks to. Nothing throws. */
export type StreamOwner = {
  /** The next bytes of the body; `pause` holds back what follows. */
  readonly data: (chunk: Buffer) => void
  /** All of the request has come. */
  readonly end: (trailers: readonly string[]) => void
  /** After a `sendData` that was false: it takes bytes again. */
  readonly drained: () => void
  /** The last event, within the call that closes the stream or later: it has ended on both sides, or was reset. */
  readonly closed: () => void
}

export type Connection = {
  readonly socket: Duplex
  readonly events: ConnectionEvents
  readonly outbox: Outbox
  /** Open ones only. */
  readonly streams: Map<number, Stream>
  /** With bytes that wait for a window or the socket, the longest without a turn first. */
  readonly waiting: Set<Stream>
  /** Streams that were reset not long ago, and by whom: the other side may not know yet (RFC 9113 §5.1). */
  readonly resets: Map<number, 'agent' | 'proxy'>
  /** The highest stream that the agent has opened, and the last ones that it passed over (`skippedTo` is open). */
  lastStream: number
  skippedFrom: number
  skippedTo: number
  /** Bytes that the agent takes, and those that it may send; `taken`: of these, not yet allowed again. */
  sendWindow: number
  receiveWindow: number
  taken: number
  /** The window of a stream that begins (SETTINGS_INITIAL_WINDOW_SIZE). */
  initialWindow: number
  /** Bytes in the outbox. */
  collected: number
  flushes: boolean
  /** Nothing is read because the agent does not read. */
  stalled: boolean
  /** A header block has gone out. */
  encodes: boolean
  /** The agent said GOAWAY. */
  leaving: boolean
  /** GOAWAY has gone out: nothing else will. */
  ended: boolean
}

export type Stream = {
  readonly id: number
  readonly connection: Connection
  owner: StreamOwner
  sendWindow: number
  receiveWindow: number
  taken: number
  /** Bytes that wait to go out, and what ends them: trailers, or null where more may come. */
  queue: Buffer[]
  ending: readonly string[] | null
  /** END_STREAM has come, with or without `trailers`. */
  requestDone: boolean
  trailers: readonly string[]
  /** Bytes of the request's body: as many as Content-Length says (-1: it does not), and as many as came. */
  expected: number
  received: number
  /** The owner takes nothing for now: what comes is in the inbox. */
  paused: boolean
  inbox: Buffer[]
  /** Bytes of the inbox's last buffer that are free. */
  spare: number
  /** Its owner knows of the request's end. */
  endTold: boolean
  closed: boolean
}

export function createConnection(socket: Duplex, events: ConnectionEvents): Connection {
  return {
    socket,
    events,
    outbox: createOutbox(socket),
    streams: new Map(),
    waiting: new Set(),
    resets: new Map(),
    lastStream: 0,
    skippedFrom: 0,
    skippedTo: 0,
    sendWindow: WINDOW_BYTES,
    receiveWindow: WINDOW_BYTES,
    taken: 0,
    initialWindow: WINDOW_BYTES,
    collected: 0,
    flushes: false,
    stalled: false,
    encodes: false,
    leaving: false,
    ended: false,
  }
}

export function openStream(connection: Connection, id: number): Stream {
  const stream: Stream = {
    id,
    connection,
    owner: NOBODY,
    sendWindow: connection.initialWindow,
    receiveWindow: WINDOW_BYTES,
    taken: 0,
    queue: [],
    ending: null,
    requestDone: false,
    trailers: NOTHING,
    expected: -1,
    received: 0,
    paused: true,
    inbox: [],
    spare: 0,
    endTold: false,
    closed: false,
  }
  connection.streams.set(id, stream)
  return stream
}

/** `reset`: by whom, or null where both sides have ended. */
export function closeStream(stream: Stream, reset: 'agent' | 'proxy' | null): void {
  if (stream.closed) return
  const { connection, id, owner } = stream
  stream.closed = true
  stream.queue = []
  stream.inbox = []
  connection.streams.delete(id)
  connection.waiting.delete(stream)
  if (reset !== null) noteReset(connection, id, reset)
  owner.closed()
  if (connection.streams.size === 0) connection.events.idle()
}

export function noteReset({ resets }: Connection, id: number, by: 'agent' | 'proxy'): void {
  resets.set(id, by)
  if (resets.size <= RESETS) return
  const [oldest] = resets.keys()
  if (oldest !== undefined) resets.delete(oldest)
}

/** RFC 9113 §6.9.2: what both sides begin with. We say nothing else, so an agent waits past it for us to take bytes. */
export const WINDOW_BYTES = 65_535
const RESETS = 1_024
const NOTHING: readonly string[] = []
const NOBODY: StreamOwner = { data() {}, end() {}, drained() {}, closed() {} }
