/** Waiting for one thing on a socket: up to a moment, and only while nobody else has won. */
import type { Socket } from 'node:net'

export type Patience = {
  /** By `performance.now()`. One moment for all steps of a dial. */
  readonly until: number
  /** Aborted when another attempt has won; null: there is no other. */
  readonly signal: AbortSignal | null
}

/** Resolves when `event` comes. Else the socket is destroyed, and the rejection says why. */
export function opened<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  patience: Patience,
): Promise<S> {
  return waitFor(socket, patience, succeed => {
    const came = () => succeed(socket)
    socket.on(event, came)
    return () => socket.off(event, came)
  })
}

/**
 * Resolves with what `listen` succeeds with; it returns how it stops listening. When it fails, when the socket fails or
 * closes, or when patience ends, the socket is destroyed and the rejection says why.
 */
export function waitFor<T>(
  socket: Socket,
  { until, signal }: Patience,
  listen: (succeed: (value: T) => void, fail: (error: Error) => void) => () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let over = false
    const finish = () => {
      over = true
      clearTimeout(timer)
      stop()
      socket.off('error', fail).off('close', closed)
      signal?.removeEventListener('abort', lost)
      socket.on('error', () => {}) // whoever gets the socket reads its end from 'close'
    }
    const succeed = (value: T) => {
      if (over) return
      finish()
      resolve(value)
    }
    const fail = (error: Error) => {
      if (over) return
      finish()
      socket.destroy()
      reject(error)
    }
    const closed = () => fail(new Error('the connection was closed'))
    const lost = () => fail(new Error('another address was faster'))
    const timer = setTimeout(() => fail(new Error('timed out')), Math.max(0, until - performance.now()))
    const stop = listen(succeed, fail)
    socket.on('error', fail).on('close', closed)
    signal?.addEventListener('abort', lost)
    if (signal?.aborted) lost()
    else if (socket.destroyed) closed()
  })
}
