/** How a denial reaches the agent: problem+json where it speaks HTTP, a reset where it does not. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type ClrkFault, describe } from '../errors.ts'
import { explainProblem } from '../policy/explain.ts'

export type ProblemAnswer = {
  readonly status: number
  readonly reason: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

/** The answer for `fault` (RFC 9457). It never contains anything of the request but the name that was refused. */
export function problemAnswer(fault: ClrkFault, gateway: string): ProblemAnswer {
  const { status, body } = explainProblem(fault, gateway)
  return {
    status,
    reason: describe(fault).title.replace(/[^\x20-\x7e]/g, '?'),
    headers: [
      ['content-type', 'application/problem+json'],
      ['cache-control', 'no-store'],
      ['x-clrk-code', fault.code],
    ],
    body,
  }
}

/** TCP reset: the agent learns at once that nothing will come. TLS (to a proxy) is cut without its closing alert. */
export function reset(socket: Socket): void {
  if (socket.destroyed) return
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
