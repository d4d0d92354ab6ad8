/** Two sockets joined byte for byte: raw TCP and TLS that is not terminated. Half-close passes in both directions. */
import type { Socket } from 'node:net'
import { tookBytes } from '../http1/young-garbage.ts'
import { LIMITS } from '../limits.ts'
import { reset } from './deny.ts'

/**
 * Joins `agent` and `upstream`, both opened with allowHalfOpen; `first` are bytes of the agent that were read already.
 * A side that fails takes the other with it; nothing moved for LIMITS.streamIdleMs counts as failing. `ended` gets the
 * bytes of both directions, once, when both sockets are closed.
 */
export function splice(
  agent: Socket,
  upstream: Socket,
  first: Buffer | null,
  ended: (bytesUp: number, bytesDown: number) => void,
): void {
  const bytes = { up: 0, down: 0 }
  let open = 2
  const join = (from: Socket, to: Socket, direction: 'up' | 'down') => {
    from.on('data', (chunk: Buffer) => {
      bytes[direction] += chunk.length
      tookBytes(chunk.length)
      if (!to.write(chunk)) from.pause()
    })
    from.on('drain', () => to.resume())
    from.on('end', () => to.end())
    from.on('error', () => {}) // 'close' follows
    from.on('close', () => {
      if (!from.readableEnded || !from.writableFinished) reset(to) // an end would pass for a complete stream
      if (--open === 0) ended(bytes.up, bytes.down)
    })
    from.setTimeout(LIMITS.streamIdleMs, () => reset(from))
  }
  if (first !== null && first.length > 0) {
    bytes.up += first.length
    upstream.write(first)
  }
  join(agent, upstream, 'up')
  join(upstream, agent, 'down')
  agent.resume()
  upstream.resume()
}
