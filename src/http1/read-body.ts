/** A request that cannot be decided before its body is there: it is read, kept, and sent as it came. */
import { startBody, takeBody } from './body.ts'
import { answer, broken, forget, refuseBody } from './ending.ts'
import type { BodyReader, Forward, UpstreamLease } from './hooks.ts'
import { keepBody, keepBytes, nextKept, sealKept } from './kept-body.ts'
import { type RequestChanges, refusedTrailers } from './rewrite.ts'
import { awaitNext, EMPTY, type Session } from './session.ts'
import { writeHead } from './write-head.ts'

/** Who waits to be asked for the body is asked (RFC 9110 §10.1.1): the origin has not seen the request yet. */
export function readBody(session: Session, reader: BodyReader<Forward>): void {
  const { head, rest, agent, requestBody } = session
  session.phase = 'read'
  session.kept = keepBody(reader)
  session.rest = EMPTY
  if (head?.expectContinue && head.version === '1.1' && !requestBody.done && rest.length === 0) agent.write(CONTINUE)
  readMore(session, rest)
}

/** The next bytes of the agent; behind the body's last one follows `events.read`. */
export function readMore(session: Session, chunk: Buffer): void {
  const { kept, requestBody } = session
  if (kept === null) return
  session.deadline.set(session.options.streamIdleMs)
  try {
    const end = takeBody(requestBody, chunk, 0, kept.reader.payload)
    if (end < 0) return refuseBody(session)
    if (end < chunk.length) session.rest = chunk.subarray(end)
    const refusal = keepBytes(kept, chunk, end)
    if (refusal !== null) return answer(session, refusal)
  } catch (error) {
    return broken(session, error)
  }
  if (!requestBody.done) return
  sealKept(kept)
  session.phase = 'decide'
  session.deadline.set(Infinity)
  session.events.read()
}

/** The origin need not ask for what is sent along with the head. */
export function withoutExpect(changes: RequestChanges): RequestChanges {
  return { ...changes, remove: name => name === 'expect' || changes.remove(name) }
}

/** Begins to send the head and the body, framed as it came; false: a trailer of it is refused, and nothing was sent. */
export function sendKept(session: Session, { socket }: UpstreamLease): boolean {
  const { kept, requestBody, head, forward } = session
  if (kept === null || head === null || forward === null) return false
  startBody(requestBody, head.framing, refusedTrailers(forward))
  if (!kept.blocks.every(block => takeBody(requestBody, block, 0, session.sees) >= 0)) return false
  session.bodySent = kept.bytes > 0
  const first = nextKept(kept) ?? EMPTY
  const flushed = writeHead(socket, session.outgoing, first, 0, first.length)
  if (flushed || first.length === 0) sendMore(session)
  return true
}

/** The upstream takes bytes: the next of the body. All of it at once would be copied at once. */
export function sendMore(session: Session): void {
  const { kept, lease } = session
  if (kept === null || lease === null) return
  awaitNext(session)
  for (let block = nextKept(kept); block !== null; block = nextKept(kept)) if (!lease.socket.write(block)) return
  forget(session)
}

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
