/** Several addresses of one host (Happy Eyeballs, RFC 8305): a dead one costs a moment, not the whole of a dial. */
import type { Socket } from 'node:net'
import { isClrkError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { Patience } from './wait.ts'

/**
 * Attempts `addresses` in their order (RFC 8305 §5): each next one LIMITS.upstreamAttemptMs after the one before, or as
 * soon as one has failed. The first socket wins; the signal of all others is aborted, and one that comes all the same is
 * destroyed. Rejects with the last failure, or at once with a ClrkError: that one is about more than its address.
 */
export function race<A, S extends Socket>(
  addresses: readonly A[],
  patience: Patience,
  attempt: (address: A, patience: Patience) => Promise<S>,
): Promise<S> {
  const [first] = addresses
  if (first !== undefined && addresses.length === 1) return attempt(first, patience)
  return new Promise((resolve, reject) => {
    const others = new AbortController()
    const signal = patience.signal === null ? others.signal : AbortSignal.any([others.signal, patience.signal])
    let next = 0
    let running = 0
    let over = false
    let timer: NodeJS.Timeout | undefined

    const finish = () => {
      over = true
      clearTimeout(timer)
      others.abort()
    }
    const failed = (error: unknown) => {
      running -= 1
      if (over) return
      const last = next === addresses.length && running === 0
      if (!last && !isClrkError(error) && !signal.aborted) return begin()
      finish()
      reject(error)
    }
    const begin = () => {
      clearTimeout(timer)
      const address = addresses[next]
      if (address === undefined) return
      next += 1
      running += 1
      if (next < addresses.length) timer = setTimeout(begin, LIMITS.upstreamAttemptMs)
      attempt(address, { until: patience.until, signal }).then(socket => {
        if (over) return void socket.destroy()
        finish()
        resolve(socket)
      }, failed)
    }
    if (first === undefined) reject(new Error('no address'))
    else begin()
  })
}
