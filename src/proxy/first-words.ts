/** Who speaks first on two connections of which neither has: only then is it known what the agent's bytes are. */
import type { Socket } from 'node:net'
import { LIMITS } from '../limits.ts'

/**
 * Resolves with the one that sent a byte, which is put back, or null once one of them is closed; both are paused then.
 * An end passes to the other side meanwhile; silence is bounded by LIMITS.streamIdleMs. Both allow half-open.
 */
export function firstToSpeak(agent: Socket, upstream: Socket): Promise<Socket | null> {
  return new Promise(resolve => {
    const undo: (() => void)[] = []
    const settle = (speaker: Socket | null) => {
      for (const step of undo) step()
      resolve(speaker)
    }
    const listen = (side: Socket, other: Socket) => {
      const spoke = (chunk: Buffer) => {
        side.pause()
        settle(side)
        side.unshift(chunk)
      }
      const ended = () => void other.end()
      const closed = () => {
        other.destroy()
        settle(null)
      }
      side.on('error', () => {}) // 'close' follows
      side.on('data', spoke).on('end', ended).on('close', closed)
      const late = () => void side.destroy()
      side.setTimeout(LIMITS.streamIdleMs, late)
      undo.push(() => {
        side.off('data', spoke).off('end', ended).off('close', closed).setTimeout(0, late)
        side.pause()
      })
      side.resume()
    }
    listen(agent, upstream)
    listen(upstream, agent)
  })
}
