/**
 * What the frames of an agent do to its connection and streams (RFC 9113 §5, §6, §8.1). An error of a stream resets it, one
 * of the connection ends it, each with its code; what costs the agent nothing and us something is counted (`control`).
 */

import { LIMITS } from '../limits.ts'
import { CODE } from './codes.ts'
import { type Connection, closeStream, openStream, type Stream } from './connection.ts'
import { createFrameReader, FLAG, type FrameReader, TYPE } from './frames.ts'
import { createHpackDecoder, type FieldList } from './hpack-decode.ts'
import { deliver, tookOfConnection } from './inbox.ts'
import { frame, refuseStream, resetStream, send, sendMore, sendWaiting } from './outgoing.ts'
import { malformedRequest, malformedTrailers } from './request-rules.ts'

/** Reads the bytes of an agent. */
export function createIncoming(connection: Connection): FrameReader {
  const decoder = createHpackDecoder()
  const { streams, events } = connection
  const reader = createFrameReader({
    headers: (id, bytes, from, to, end, badPriority) => {
      const list = decoder.decode(bytes, from, to)
      if (list === null) return events.end(CODE.compression)
      const stream = streams.get(id)
      if (stream !== undefined) return takeTrailers(stream, list, end)
      if (id % 2 === 0) return events.end(CODE.protocol)
      if (id <= connection.lastStream) return headersOfClosed(connection, id)
      begin(connection, id, list, end, badPriority)
    },
    data: (id, bytes, from, to, padding, end) => takeData(connection, id, bytes, from, to, padding, end),
    priority: (id, code) => {
      events.control()
      const stream = streams.get(id)
      if (code === null || connection.ended) return
      if (stream === undefined) events.end(code)
      else resetStream(stream, code)
    },
    reset: (id, _code) => {
      const stream = streams.get(id)
      if (stream !== undefined) closeStream(stream, 'agent')
      else if (isIdle(connection, id)) events.end(CODE.protocol)
    },
    settings: (bytes, from, to) => {
      events.control()
      const problem = takeSettings(connection, bytes, from, to)
      if (problem !== null) return events.end(problem)
      send(connection, frame(TYPE.settings, FLAG.ack, 0, ''))
      sendWaiting(connection)
    },
    ping: (bytes, from) => {
      events.control()
      send(connection, frame(TYPE.ping, FLAG.ack, 0, bytes.toString('latin1', from, from + 8)))
    },
    acknowledged: events.control,
    goaway: code => {
      connection.leaving = true
      if (code !== CODE.none || streams.size === 0) events.end(CODE.none)
    },
    window: (id, increment) => openWindow(connection, id, increment),
    broken: events.end,
  })
  return reader
}

function begin(connection: Connection, id: number, list: FieldList, end: boolean, badPriority: boolean): void {
  const { streams, events } = connection
  if (id > connection.lastStream + 2) {
    connection.skippedFrom = connection.lastStream + 1
    connection.skippedTo = id
  }
  connection.lastStream = id
  if (badPriority || (list.cut === null && malformedRequest(list.fields))) {
    events.control()
    return refuseStream(connection, id, CODE.protocol)
  }
  if (streams.size < LIMITS.http2Streams) {
    const stream = openStream(connection, id)
    stream.requestDone = stream.endTold = end
    if (events.request(stream, list, end)) return
    streams.delete(id)
  }
  events.control()
  refuseStream(connection, id, CODE.refused)
}

function takeTrailers(stream: Stream, { fields, cut }: FieldList, end: boolean): void {
  if (stream.requestDone) return resetStream(stream, CODE.streamClosed)
  if (!end || cut !== null || malformedTrailers(fields) || !isWhole(stream)) return resetStream(stream, CODE.protocol)
  stream.requestDone = true
  stream.trailers = fields
  deliver(stream, NOTHING, 0, 0, 0)
}

function headersOfClosed(connection: Connection, id: number): void {
  if (connection.resets.has(id)) return forReset(connection, id)
  const skipped = id >= connection.skippedFrom && id < connection.skippedTo
  connection.events.end(skipped ? CODE.protocol : CODE.streamClosed)
}

/** What comes for a stream that we have reset was on its way; where the agent did, it is told once (RFC 9113 §5.1). */
function forReset(connection: Connection, id: number): void {
  connection.events.control()
  if (connection.resets.get(id) === 'agent') refuseStream(connection, id, CODE.streamClosed)
}

function takeData(
  connection: Connection,
  id: number,
  bytes: Buffer,
  from: number,
  to: number,
  padding: number,
  end: boolean,
): void {
  const { events } = connection
  const length = to - from
  const counted = length + padding
  connection.receiveWindow -= counted
  if (connection.receiveWindow < 0) return events.end(CODE.flowControl)
  tookOfConnection(connection, counted)
  if (length === 0 && !end) events.control()
  const stream = connection.streams.get(id)
  if (connection.ended) return
  if (stream === undefined) {
    if (connection.resets.has(id)) return forReset(connection, id)
    return events.end(isIdle(connection, id) ? CODE.protocol : CODE.streamClosed)
  }
  if (stream.requestDone) return resetStream(stream, CODE.streamClosed)
  stream.receiveWindow -= counted
  if (stream.receiveWindow < 0) return resetStream(stream, CODE.flowControl)
  stream.received += length
  if (end) stream.requestDone = true
  if (stream.requestDone ? !isWhole(stream) : stream.expected >= 0 && stream.received > stream.expected) {
    return resetStream(stream, CODE.protocol)
  }
  deliver(stream, bytes, from, to, padding)
}

/** As many bytes came as Content-Length says (RFC 9113 §8.1.1). */
export function isWhole({ expected, received }: Stream): boolean {
  return expected < 0 || expected === received
}

/** The code of what is wrong with it, or null. */
function takeSettings(connection: Connection, bytes: Buffer, from: number, to: number): number | null {
  for (let at = from; at < to; at += 6) {
    const value = bytes.readUInt32BE(at + 2)
    switch (bytes.readUInt16BE(at)) {
      case SETTING.enablePush:
        if (value > 1) return CODE.protocol
        break
      case SETTING.initialWindow: {
        if (value > MAXIMUM_WINDOW) return CODE.flowControl
        const change = value - connection.initialWindow
        connection.initialWindow = value
        for (const stream of connection.streams.values()) {
          stream.sendWindow += change
          if (stream.sendWindow > MAXIMUM_WINDOW) return CODE.flowControl
        }
        break
      }
      case SETTING.maximumFrame:
        if (value < 16_384 || value > 16_777_215) return CODE.protocol
    }
  }
  return null
}

function openWindow(connection: Connection, id: number, increment: number): void {
  const { streams, events } = connection
  if (id === 0) {
    if (increment === 0) return events.end(CODE.protocol)
    connection.sendWindow += increment
    if (connection.sendWindow > MAXIMUM_WINDOW) return events.end(CODE.flowControl)
    return sendWaiting(connection)
  }
  const stream = streams.get(id)
  if (stream === undefined) return isIdle(connection, id) ? events.end(CODE.protocol) : undefined
  if (increment === 0) return resetStream(stream, CODE.protocol)
  stream.sendWindow += increment
  if (stream.sendWindow > MAXIMUM_WINDOW) return resetStream(stream, CODE.flowControl)
  sendMore(stream, increment)
}

/** We open no streams: those of even numbers are all idle. */
function isIdle({ lastStream }: Connection, id: number): boolean {
  return id > lastStream || id % 2 === 0
}

/** Entries that say something to us (RFC 9113 §6.5.2): we push nothing, keep no table, and send no larger frames. */
const SETTING = { enablePush: 2, initialWindow: 4, maximumFrame: 5 } as const
const MAXIMUM_WINDOW = 0x7fffffff
const NOTHING = Buffer.alloc(0)
