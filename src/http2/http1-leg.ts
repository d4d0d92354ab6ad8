/**
 * A request from HTTP/2 to an origin that speaks HTTP/1.1: over the parsers, the pool and the listeners of src/http1, so
 * that what an origin may say is the same for every agent (T130). A request body of unknown length goes out chunked.
 */
import { bodyFraming, createBody, startBody, takeBody } from '../http1/body.ts'
import type { RequestHead, ResponseHead } from '../http1/head.ts'
import { createResponseReader } from '../http1/head-reader.ts'
import type { UpstreamLease } from '../http1/hooks.ts'
import { ownUpstream } from '../http1/upstream-leg.ts'
import { fieldsOf } from './head.ts'
import type { Leg, LegEvents } from './hooks.ts'

/** `outgoing`: the rewritten head of `request`. `bodyless`: the request has ended with its head. */
export function openHttp1Leg(
  lease: UpstreamLease,
  request: RequestHead,
  outgoing: string,
  bodyless: boolean,
  events: LegEvents,
): Leg {
  const { socket } = lease
  const chunked = !bodyless && request.framing.kind === 'none'
  const reader = createResponseReader()
  const body = createBody()
  let requestDone = bodyless
  let head: ResponseHead | null = null
  let heard = false
  let over = false
  /** Chunked framing since the last payload: at the end, the trailers. Bounded by what takeBody lets pass. */
  let tail = ''

  function giveBack(reusable: boolean): void {
    over = true
    ownUpstream(socket, null)
    const usable = reusable && !socket.destroyed && !socket.readableEnded
    if (!usable) socket.destroy()
    lease.release(usable)
  }

  function fail(reason: string, untouched = false): void {
    giveBack(false)
    events.failed({ untouched, code: null, reason })
  }

  function receive(chunk: Buffer): void {
    heard = true
    let bytes = chunk
    while (head === null) {
      const result = reader.push(bytes)
      if (result.kind === 'more') return
      if (result.kind === 'error') return fail(String(result.details.reason))
      if (result.head.status === 101) return fail('it switches to a protocol that nobody asked for')
      bytes = result.rest
      if (result.head.status < 200) events.interim(result.head)
      else begin(result.head)
      if (over) return
    }
    let payloadEnd = 0
    const end = takeBody(body, bytes, 0, (data, from, to) => {
      tail = ''
      payloadEnd = to
      if (!over) events.data(data, from, to)
    })
    if (over) return
    if (end < 0) return fail(body.problem ?? '')
    if (body.framing === 'chunked') tail += bytes.toString('latin1', payloadEnd, end)
    if (body.done) finish(end === bytes.length && head.keepAlive && requestDone)
  }

  function begin(final: ResponseHead): void {
    head = final
    startBody(body, bodyFraming(final, request.method))
    events.head(final, body.done)
  }

  function finish(reusable: boolean): void {
    giveBack(reusable)
    events.end(fieldsOf(tail.startsWith('\r\n') ? tail.slice(2) : tail))
  }

  function closed(inOrder: boolean): void {
    if (over) return
    if (inOrder && head !== null && body.framing === 'until-close' && !body.done) return finish(false)
    const untouched = !heard && !lease.fresh && (!requestDone || IDEMPOTENT.test(request.method))
    fail(`it closed the connection ${head === null ? 'before it answered' : 'in the middle of its answer'}`, untouched)
  }

  ownUpstream(socket, { upstreamData: receive, upstreamDrained: () => events.drained(), upstreamClosed: closed })
  if (socket.destroyed) process.nextTick(closed, false)
  else socket.write(framed(outgoing, request, bodyless), 'latin1')
  return {
    write: chunk => {
      if (over || chunk.length === 0) return true
      if (!chunked) return socket.write(chunk)
      socket.cork()
      socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
      socket.write(chunk)
      const flushed = socket.write('\r\n', 'latin1')
      socket.uncork()
      return flushed
    },
    end: trailers => {
      if (over || requestDone) return
      requestDone = true
      let lines = ''
      for (let at = 0; at + 1 < trailers.length; at += 2) lines += `${trailers[at]}: ${trailers[at + 1]}\r\n`
      if (chunked) socket.write(`0\r\n${lines}\r\n`, 'latin1')
    },
    pause: () => {
      if (!over) socket.pause()
    },
    resume: () => {
      if (!over) socket.resume()
    },
    abort: () => {
      if (!over) giveBack(false)
    },
  }
}

/** HTTP/2 needs no framing field; HTTP/1.1 does (RFC 9112 §6.3; RFC 9110 §8.6 for an empty POST). */
function framed(outgoing: string, request: RequestHead, bodyless: boolean): string {
  if (request.framing.kind !== 'none') return outgoing
  const field = !bodyless
    ? 'transfer-encoding: chunked\r\n'
    : HAS_CONTENT.test(request.method)
      ? 'content-length: 0\r\n'
      : ''
  return `${outgoing.slice(0, -2)}${field}\r\n`
}

const IDEMPOTENT = /^(?:GET|HEAD|OPTIONS|PUT|DELETE)$/
const HAS_CONTENT = /^(?:POST|PUT|PATCH)$/
