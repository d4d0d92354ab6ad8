/**
 * Idle TLS connections to upstreams of one gateway, by name and port; never shared between gateways. Last in, first
 * out: the warmest connection serves next, the others age out. HTTP/1.1 (src/http1) listens on a connection as long as
 * it lives and destroys one that speaks while idle (T130).
 */
import type { TLSSocket } from 'node:tls'
import { LIMITS } from '../limits.ts'
import type { HostName } from '../policy/policy.ts'
import { type DialContext, dialTls } from './dial.ts'

/** One upstream connection, lent for one exchange. */
export type Lease = {
  readonly socket: TLSSocket
  /** Nothing was ever sent on it: a failure is not that of a stale connection. */
  readonly fresh: boolean
  /** Gives it back (`reusable`: the exchange ended cleanly and keep-alive holds) or destroys it. Once. */
  readonly release: (reusable: boolean) => void
}

export type UpstreamPool = {
  /** An idle connection unless `fresh` is asked for, else a new one. Rejects as `dialTls` does. */
  readonly acquire: (name: HostName, port: number, fresh: boolean) => Lease | Promise<Lease>
  /** Drops every idle connection and the sessions: after a change of policy or trust. */
  readonly clear: () => void
  readonly close: () => void
}

type Idle = { readonly socket: TLSSocket; readonly since: number; readonly drop: () => void }

/** `context` is read at each dial, so that a changed policy holds for the next one. */
export function createPool(context: () => DialContext): UpstreamPool {
  const idle = new Map<string, Idle[]>()
  const sessions = new Map<string, Buffer>()

  const sweep = setInterval(() => {
    const oldest = performance.now() - LIMITS.upstreamIdleMs
    for (const [key, list] of idle) {
      for (const entry of [...list]) if (entry.since < oldest) entry.drop()
      if (list.length === 0) idle.delete(key)
    }
  }, LIMITS.upstreamIdleMs / 4)
  sweep.unref()

  /** Counts `clear`s: what was dialled and verified under an earlier policy or trust serves its exchange and no other. */
  let generation = 0

  function lease(key: string, socket: TLSSocket, fresh: boolean, of = generation): Lease {
    let lent = true
    return {
      socket,
      fresh,
      release: reusable => {
        if (!lent) return
        lent = false
        if (!reusable || of !== generation || socket.destroyed || !socket.writable) socket.destroy()
        else park(key, socket)
      },
    }
  }

  function park(key: string, socket: TLSSocket): void {
    const list = idle.get(key) ?? []
    idle.set(key, list)
    const drop = () => {
      const at = list.indexOf(entry)
      if (at >= 0) list.splice(at, 1)
      socket.destroy()
    }
    const entry: Idle = { socket, since: performance.now(), drop }
    socket.once('close', drop)
    list.push(entry)
    if (list.length > LIMITS.upstreamIdlePerKey) list[0]?.drop()
  }

  function clear(): void {
    generation += 1
    for (const list of idle.values()) for (const entry of [...list]) entry.drop()
    idle.clear()
    sessions.clear()
  }

  return {
    acquire: (name, port, fresh) => {
      const key = `${name}:${port}`
      const list = fresh ? undefined : idle.get(key)
      for (let entry = list?.pop(); entry !== undefined; entry = list?.pop()) {
        const { socket, drop } = entry
        socket.off('close', drop)
        if (!socket.destroyed && socket.writable) return lease(key, socket, false)
        socket.destroy()
      }
      const of = generation
      return dialTls(context(), name, port, sessions.get(key)).then(socket => {
        socket.on('session', session => {
          if (of !== generation) return
          if (sessions.size >= SESSIONS) sessions.clear()
          sessions.set(key, session)
        })
        return lease(key, socket, true, of)
      })
    },
    clear,
    close: () => {
      clearInterval(sweep)
      clear()
    },
  }
}

/** TLS sessions kept for resumption; past it all are forgotten, which costs full handshakes only. */
const SESSIONS = 1_024
