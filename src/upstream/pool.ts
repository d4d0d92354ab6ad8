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

type Connection = {
  readonly key: string
  readonly socket: TLSSocket
  /** Of its dial. */
  readonly generation: number
  /** When it was parked last, by `performance.now`. */
  since: number
}

/** `context` is read at each dial, so that a changed policy holds for the next one. */
export function createPool(context: () => DialContext): UpstreamPool {
  const idle = new Map<string, Connection[]>()
  const sessions = new Map<string, Buffer>()

  const sweep = setInterval(() => {
    const oldest = performance.now() - LIMITS.upstreamIdleMs
    for (const [key, list] of idle) {
      for (const connection of [...list]) if (connection.since < oldest) drop(connection)
      if (list.length === 0) idle.delete(key)
    }
  }, LIMITS.upstreamIdleMs / 4)
  sweep.unref()

  /** Counts `clear`s: what was dialled and verified under an earlier policy or trust serves its exchange and no other. */
  let generation = 0

  /** One listener for a connection's whole life: adding and taking off one for each exchange costs a microsecond. */
  function connected(key: string, socket: TLSSocket, of: number): Connection {
    const connection = { key, socket, generation: of, since: 0 }
    socket.on('close', () => drop(connection))
    socket.on('session', session => {
      if (of !== generation) return
      if (sessions.size >= SESSIONS) sessions.clear()
      sessions.set(key, session)
    })
    return connection
  }

  function lease(connection: Connection, fresh: boolean): Lease {
    const { socket } = connection
    let lent = true
    return {
      socket,
      fresh,
      release: reusable => {
        if (!lent) return
        lent = false
        const stale = connection.generation !== generation
        if (!reusable || stale || socket.destroyed || !socket.writable) socket.destroy()
        else park(connection)
      },
    }
  }

  function park(connection: Connection): void {
    let list = idle.get(connection.key)
    if (list === undefined) {
      list = []
      idle.set(connection.key, list)
    }
    connection.since = performance.now()
    list.push(connection)
    const [oldest] = list
    if (list.length > LIMITS.upstreamIdlePerKey && oldest !== undefined) drop(oldest)
  }

  function drop(connection: Connection): void {
    const list = idle.get(connection.key)
    const at = list?.indexOf(connection) ?? -1
    if (at >= 0) list?.splice(at, 1)
    connection.socket.destroy()
  }

  function clear(): void {
    generation += 1
    for (const list of idle.values()) for (const connection of [...list]) drop(connection)
    idle.clear()
    sessions.clear()
  }

  return {
    acquire: (name, port, fresh) => {
      const key = `${name}:${port}`
      const list = fresh ? undefined : idle.get(key)
      for (let known = list?.pop(); known !== undefined; known = list?.pop()) {
        if (!known.socket.destroyed && known.socket.writable) return lease(known, false)
        known.socket.destroy()
      }
      const of = generation
      return dialTls(context(), name, port, sessions.get(key)).then(socket => lease(connected(key, socket, of), true))
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
