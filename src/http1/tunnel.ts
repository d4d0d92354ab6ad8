/**
 * Two sockets joined byte for byte after an upgrade, until both ends are closed. A side that cannot write pauses the
 * other, the end of one side passes to the other, and neither socket ever serves anything else again. With a guard the
 * origin's bytes go through its frames, and what is no frame ends both.
 */
import { abort, broken, close, destroy, ended, fail, nameOf, release } from './ending.ts'
import { sawRequestBody, sawResponseBody } from './observe.ts'
import type { Session } from './session.ts'
import { EMPTY, steer } from './session.ts'

/** The 101 has gone to the agent. What the agent had sent behind its request is for the new protocol. */
export function openTunnel(session: Session): void {
  const early = session.rest
  session.phase = 'tunnel'
  session.rest = EMPTY
  if (early.length > 0) tunnelUp(session, early)
  if (session.ended) endTunnelUp(session)
  steer(session)
}

export function tunnelUp(session: Session, chunk: Buffer): void {
  session.requestBody.payloadBytes += chunk.length
  sawRequestBody(session.watch, chunk, 0, chunk.length)
  session.lease?.socket.write(chunk)
  session.deadline.set(session.options.streamIdleMs)
  steer(session)
}

export function tunnelDown(session: Session, chunk: Buffer): void {
  const { agent, response, lease } = session
  if (!agent.writable) return
  response.body.payloadBytes += chunk.length
  sawResponseBody(session.watch, chunk, 0, chunk.length)
  let bytes = chunk
  try {
    if (response.frames !== null) bytes = response.frames(chunk)
  } catch (error) {
    return broken(session, error)
  }
  if (!agent.write(bytes)) lease?.socket.pause()
  session.deadline.set(session.options.streamIdleMs)
}

/** The agent has ended its side; what the upstream still says is for it. */
export function endTunnelUp(session: Session): void {
  session.lease?.socket.end()
}

/** The agent's socket is closed. After an end in good order what it sent still arrives; a reset takes all along. */
export function agentLeftTunnel(session: Session): void {
  if (!session.ended) {
    abort(session)
    return
  }
  ended(session, null, false)
  session.deadline.set(session.options.headMs)
  session.lease?.socket.resume()
}

export function upstreamLeftTunnel(session: Session, inOrder: boolean): void {
  if (!inOrder && !session.ended) {
    const reason = 'it closed the connection in the middle of a WebSocket'
    fail(session, { code: 'CLRK_UPSTREAM_MALFORMED', details: { name: nameOf(session), reason } })
    return
  }
  ended(session, null, false)
  release(session, false)
  if (session.agent.destroyed) destroy(session)
  else close(session)
}
