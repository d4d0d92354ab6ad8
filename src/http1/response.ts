/**
 * One response, from the upstream's bytes to the agent's socket. Re-framed, not trusted (T130): one framing goes out,
 * hop-by-hop fields do not; body bytes pass as they are wherever the framing can stay.
 */
import type { Duplex } from 'node:stream'
import { type ErrorCode, isClrkError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type Body, bodyFraming, createBody, type PayloadSink, startBody, takeBody } from './body.ts'
import type { RequestHead, ResponseHead } from './head.ts'
import { createResponseReader, type HeadReader } from './head-reader.ts'
import type { GuardedBody, GuardSink, ResponseGuard } from './hooks.ts'
import { sawResponseBody, sawResponseHead, type Watch } from './observe.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { rewriteResponseHead } from './rewrite.ts'
import { switchProblem, type WebSocketRequest } from './websocket.ts'
import { slice, writeHead } from './write-head.ts'

export type Response = {
  readonly agent: Duplex
  readonly watch: Watch
  reader: HeadReader<ResponseHead>
  body: Body
  readonly outbox: Outbox
  readonly sees: PayloadSink
  /** Bytes of the upstream are being taken: what goes out is collected. */
  relaying: boolean
  /** For a body that does not go out as it came. */
  readonly relays: PayloadSink
  request: RequestHead | null
  guard: ResponseGuard | null
  readonly guardSink: GuardSink
  /** The body on its way through the guard, or null; `full`: it takes no more before it has drained. */
  guarded: GuardedBody | null
  full: boolean
  /** All of the body has come, and has gone out. */
  whole: boolean
  delivered: boolean
  /** What the origin's bytes go through after a 101 with a guard, or null. */
  frames: ((chunk: Buffer) => Buffer) | null
  /** What the request asks to become, or null. */
  upgrade: WebSocketRequest | null
  /** A byte came from the upstream: the request is not to be sent again. */
  heard: boolean
  /** The final head has gone to the agent: no other answer is possible. */
  started: boolean
  interim: number
  /** How the body goes out: as it came, by its length, chunked, or up to the end of the connection. */
  mode: 'raw' | 'length' | 'chunked' | 'plain'
  /** The agent's connection ends with this response. */
  closes: boolean
  /** The upstream connection may carry another exchange, as far as this response says. */
  reusable: boolean
  code: ErrorCode
  problem: string
}

/** What a guard does in its own time. */
export type ResponseEvents = {
  /** A response whose last progress was `whole` is `done`. */
  readonly delivered: () => void
  /** A response that was `full` takes bytes again. */
  readonly emptied: () => void
  /** `code` and `problem` say why; nothing more may be passed on. */
  readonly spoilt: () => void
}

/**
 * `more`: call again with the next bytes. `whole`: there are none, and `delivered` follows. `switched`: what comes next is no HTTP. `bad`: `code` and `problem` say why;
 * nothing more may be passed on.
 */
export type Progress = 'more' | 'whole' | 'done' | 'switched' | 'bad'

export function createResponse(agent: Duplex, watch: Watch, events: ResponseEvents): Response {
  const response: Response = {
    agent,
    watch,
    reader: createResponseReader(),
    body: createBody(),
    outbox: createOutbox(agent),
    sees: (chunk, from, to) => sawResponseBody(watch, chunk, from, to),
    relays: (chunk, from, to) => {
      sawResponseBody(watch, chunk, from, to)
      const payload = slice(chunk, from, to)
      if (response.guarded === null) writePayload(response, payload)
      else response.full = !response.guarded.write(payload)
    },
    relaying: false,
    request: null,
    guard: null,
    guardSink: {
      data: payload => {
        writePayload(response, payload)
        if (!response.relaying) response.outbox.flush()
        if (agent.writableNeedDrain) response.guarded?.pause()
      },
      end: () => {
        finishPayload(response)
        if (!response.relaying) response.outbox.flush()
        response.delivered = true
        if (response.whole) events.delivered()
      },
      drained: () => {
        response.full = false
        events.emptied()
      },
      failed: reason => {
        response.code = 'CLRK_UPSTREAM_ENCODED'
        response.problem = reason
        events.spoilt()
      },
    },
    guarded: null,
    full: false,
    whole: false,
    delivered: false,
    frames: null,
    upgrade: null,
    heard: false,
    started: false,
    interim: 0,
    mode: 'raw',
    closes: false,
    reusable: false,
    code: 'CLRK_UPSTREAM_MALFORMED',
    problem: '',
  }
  return response
}

/** Makes it ready for the response to `request`. */
export function awaitResponse(
  response: Response,
  request: RequestHead,
  guard: ResponseGuard | null,
  upgrade: WebSocketRequest | null,
): void {
  if (response.reader.pending() > 0) response.reader = createResponseReader()
  response.request = request
  response.guard = guard
  response.upgrade = upgrade
  response.guarded = response.frames = null
  response.heard = response.started = response.closes = response.reusable = false
  response.full = response.whole = response.delivered = false
  response.interim = 0
  response.code = 'CLRK_UPSTREAM_MALFORMED'
  response.body.payloadBytes = 0
}

/** `requestDone`: the whole request has been sent; a response that begins earlier ends the agent's connection. */
export function relayResponse(response: Response, chunk: Buffer, requestDone: boolean): Progress {
  response.heard = true
  if (response.whole) return endedAt(response, chunk, 0)
  try {
    let bytes = chunk
    while (!response.started) {
      const result = response.reader.push(bytes)
      if (result.kind === 'more') return 'more'
      if (result.kind === 'error') return bad(response, String(result.details.reason))
      if (result.head.status >= 200) return relayFinal(response, result.head, result.rest, requestDone)
      if (result.head.status === 101) return relaySwitch(response, result.head, result.rest)
      const problem = relayInterim(response, result.head)
      if (problem !== null) return bad(response, problem)
      bytes = result.rest
      if (bytes.length === 0) return 'more'
    }
    return relayBody(response, '', bytes)
  } catch (error) {
    if (isClrkError(error)) {
      response.code = error.fault.code
      return bad(response, String(error.fault.details.reason))
    }
    response.watch.report(error)
    response.code = 'CLRK_INTERNAL'
    return bad(response, 'A response could not be passed on')
  }
}

/** The upstream has closed, `inOrder` or not. `done` or `whole` where that is no harm to this response. */
export function endResponse(response: Response, inOrder: boolean): Progress {
  if (response.whole) return 'whole'
  if (!inOrder || !response.started || response.body.framing !== 'until-close' || response.body.done) return 'bad'
  try {
    const progress = endPayload(response)
    response.outbox.flush()
    return progress
  } catch (error) {
    response.watch.report(error)
    return 'bad'
  }
}

function relayInterim(response: Response, head: ResponseHead): string | null {
  if (++response.interim > LIMITS.interimResponses)
    return `it sent more than ${LIMITS.interimResponses} interim answers`
  if (response.request?.version !== '1.1') return null // HTTP/1.0 knows none (RFC 9110 §15.2)
  const text = rewriteResponseHead(head, 'none', null)
  response.agent.write(response.guard === null ? text : response.guard.head(text), 'latin1')
  return null
}

/** `early`: bytes that came with the head, already in the new protocol. */
function relaySwitch(response: Response, head: ResponseHead, early: Buffer): Progress {
  const { agent, watch, upgrade, guard } = response
  const problem = upgrade === null ? 'it switches to a protocol that nobody asked for' : switchProblem(upgrade, head)
  if (problem !== null) return bad(response, problem)
  const text = rewriteResponseHead(head, 'none', 'upgrade')
  const goesOut = guard === null ? text : guard.head(text)
  response.frames = guard === null ? null : guard.frames()
  const first = response.frames === null ? early : response.frames(early)
  response.started = true
  sawResponseHead(watch, head)
  writeHead(agent, goesOut, first, 0, first.length)
  response.body.payloadBytes = early.length
  if (early.length > 0) sawResponseBody(watch, early, 0, early.length)
  return 'switched'
}

function relayFinal(response: Response, head: ResponseHead, rest: Buffer, requestDone: boolean): Progress {
  const { request, guard } = response
  if (request === null) return bad(response, 'it answers nothing')
  const framing = bodyFraming(head, request.method)
  const guarded = guard === null || framing.kind === 'none' ? null : guard.body(head, response.guardSink)
  if (typeof guarded === 'string') {
    response.code = 'CLRK_UPSTREAM_ENCODED'
    return bad(response, guarded)
  }
  response.guarded = guarded
  const keepsFraming = framing.kind === 'none' || (guarded === null && framing.kind !== 'until-close')
  const dechunks = request.version === '1.0' && head.framing.kind === 'chunked'
  const reframed = request.version === '1.1' ? 'chunked' : 'plain'
  const keepsLength = framing.kind === 'length' && !guarded?.decoded
  response.mode = keepsFraming && !dechunks ? 'raw' : keepsLength ? 'length' : reframed
  response.closes = !request.keepAlive || !requestDone || response.mode === 'plain'
  response.reusable = head.keepAlive && framing.kind !== 'until-close'
  response.started = true
  startBody(response.body, framing)
  sawResponseHead(response.watch, head)
  const goesOut =
    response.mode === 'chunked' ? 'chunked' : response.mode === 'plain' || head.status === 204 ? 'none' : 'keep'
  const connection = response.closes ? 'close' : request.version === '1.0' ? 'keep-alive' : null
  const text = rewriteResponseHead(head, goesOut, connection)
  return relayBody(response, guard === null ? text : guard.head(text), rest)
}

/** `head`: what goes out before these bytes, or nothing. */
function relayBody(response: Response, head: string, bytes: Buffer): Progress {
  const { agent, body, outbox } = response
  if (response.mode === 'raw') {
    const end = takeBody(body, bytes, 0, response.watch.observer === null ? null : response.sees)
    if (end < 0) {
      response.started = head === '' // nothing has been written: there can still be an answer
      return bad(response, body.problem ?? '')
    }
    if (head !== '') writeHead(agent, head, bytes, 0, end)
    else if (end > 0) agent.write(slice(bytes, 0, end))
    return body.done ? endedAt(response, bytes, end) : 'more'
  }
  response.relaying = true
  try {
    if (head !== '') outbox.text(head)
    const end = takeBody(body, bytes, 0, response.relays)
    if (end < 0) return bad(response, body.problem ?? '')
    if (!body.done) return 'more'
    endPayload(response)
    return endedAt(response, bytes, end)
  } finally {
    response.relaying = false
    outbox.flush()
  }
}

/** Bytes after the end are an answer to nothing: that connection is not used again. */
function endedAt(response: Response, bytes: Buffer, end: number): Progress {
  if (end < bytes.length) response.reusable = false
  return response.whole ? 'whole' : 'done'
}

function bad(response: Response, problem: string): Progress {
  response.problem = problem
  return 'bad'
}

function writePayload({ mode, outbox }: Response, payload: Buffer): void {
  if (payload.length === 0) return
  if (mode === 'chunked') outbox.text(`${payload.length.toString(16)}\r\n`)
  outbox.bytes(payload)
  if (mode === 'chunked') outbox.text('\r\n')
}

/** All of the body has come. */
function endPayload(response: Response): Progress {
  if (response.guarded === null) finishPayload(response)
  else response.guarded.end()
  response.whole = response.guarded !== null && !response.delivered
  return response.whole ? 'whole' : 'done'
}

function finishPayload(response: Response): void {
  if (response.mode === 'chunked') response.outbox.text('0\r\n\r\n')
}
