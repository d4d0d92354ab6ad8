/**
 * Upstream connections for agents that speak HTTP/2: leases of the HTTP/1.1 pool, which cost a third, where the exchange
 * needs no more and the origin chooses it by ALPN; else sessions to origins that choose h2, shared by the exchanges of one
 * gateway and of no other. A session that is closing (GOAWAY), lost or idle is forgotten, and the next exchange dials
 * anew.
 */
import type { ClientHttp2Session, connect, SecureClientSessionOptions } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Upstream } from '../http2/hooks.ts'
import { LIMITS } from '../limits.ts'
import type { HostName } from '../policy/policy.ts'
import { type DialContext, dialTls, faultOf } from './dial.ts'
import type { Lease, UpstreamPool } from './pool.ts'

export type Http2Pool = {
  /**
   * `fresh`: what was given before refused the request; another connection where one more may be opened. `streams`: the
   * exchange needs HTTP/2 where the origin has it. Rejects as `dialTls` does.
   */
  readonly acquire: (name: HostName, port: number, fresh: boolean, streams: boolean) => Promise<Upstream>
  /** After a change of policy or trust: nothing new goes out on any session; open exchanges end as they will. */
  readonly clear: () => void
  /** Ends every session and its exchanges. */
  readonly close: () => void
}

type Session = { readonly http2: ClientHttp2Session; open: number; idleSince: number }

type Host = {
  readonly sessions: Session[]
  /** A connection is being made; others wait for it and look again. */
  dialling: Promise<Upstream> | null
  /** Until then (`performance.now()`) it is known to speak HTTP/1.1 only. */
  http1Until: number
  /** Until then it is known to choose HTTP/1.1 by ALPN not even where nothing else is offered. */
  http2Until: number
  /** Forgotten by `clear`: what was being dialled then serves one exchange. */
  gone: boolean
}

/** `context` is read at each dial, so that a changed policy holds for the next one. `http1` is the same gateway's pool. */
export function createHttp2Pool(context: () => DialContext, http1: UpstreamPool): Http2Pool {
  let hosts = new Map<string, Host>()
  const all = new Set<ClientHttp2Session>()

  const sweep = setInterval(() => {
    const oldest = performance.now() - LIMITS.upstreamIdleMs
    for (const [key, host] of hosts) {
      for (const session of [...host.sessions]) {
        if (session.open === 0 && session.idleSince < oldest) drop(host, session)
      }
      if (
        host.sessions.length === 0 &&
        host.dialling === null &&
        Math.max(host.http1Until, host.http2Until) < performance.now()
      )
        hosts.delete(key)
    }
  }, LIMITS.upstreamIdleMs / 4)
  sweep.unref()

  function hostOf(key: string): Host {
    let host = hosts.get(key)
    if (host === undefined) {
      host = { sessions: [], dialling: null, http1Until: 0, http2Until: 0, gone: false }
      hosts.set(key, host)
    }
    return host
  }

  function drop(host: Host, session: Session): void {
    const at = host.sessions.indexOf(session)
    if (at >= 0) host.sessions.splice(at, 1)
    session.http2.close()
  }

  function lend(host: Host, session: Session): Upstream {
    session.open += 1
    let lent = true
    return {
      kind: 'http2',
      session: session.http2,
      release: healthy => {
        if (!lent) return
        lent = false
        session.open -= 1
        session.idleSince = performance.now()
        if (!healthy || (host.gone && session.open === 0)) drop(host, session)
      },
    }
  }

  async function dial(host: Host, name: HostName, port: number): Promise<Upstream> {
    const http2 = await import('node:http2') // 10 MB, which few origins need
    const socket = await dialTls(context(), name, port, undefined, ['h2', 'http/1.1'])
    if (socket.alpnProtocol !== 'h2') {
      host.http1Until = performance.now() + LIMITS.http2AskAgainMs
      return { kind: 'http1', lease: { socket, fresh: true, release: () => socket.destroy() } }
    }
    const session: Session = { http2: sessionOn(http2.connect, socket, name, port), open: 0, idleSince: 0 }
    all.add(session.http2)
    session.http2.on('goaway', () => drop(host, session))
    session.http2.on('close', () => {
      all.delete(session.http2)
      drop(host, session)
    })
    host.sessions.push(session)
    return lend(host, session)
  }

  function clear(): void {
    const before = hosts
    hosts = new Map()
    for (const host of before.values()) {
      host.gone = true
      for (const session of [...host.sessions]) drop(host, session)
    }
  }

  /** Null where the origin does not choose HTTP/1.1. */
  async function acquireHttp1(host: Host, name: HostName, port: number, fresh: boolean): Promise<Lease | null> {
    if (host.http2Until > performance.now()) return null
    try {
      const lease = await http1.acquire(name, port, fresh)
      if (lease.socket.alpnProtocol === 'http/1.1') return lease
      lease.release(false)
    } catch (error) {
      if (faultOf(error).code !== 'CLRK_UPSTREAM_TLS') throw error
    }
    host.http2Until = performance.now() + LIMITS.http2AskAgainMs
    return null
  }

  return {
    acquire: async (name, port, fresh, streams) => {
      const lease = streams ? null : await acquireHttp1(hostOf(`${name}:${port}`), name, port, fresh)
      if (lease !== null) return { kind: 'http1', lease }
      for (let another = fresh; ; another = false) {
        const host = hostOf(`${name}:${port}`)
        if (host.http1Until > performance.now()) {
          return { kind: 'http1', lease: await http1.acquire(name, port, fresh) }
        }
        const session = choose(host, another)
        if (session !== null) return lend(host, session)
        if (host.dialling !== null) await host.dialling
        else {
          host.dialling = dial(host, name, port)
          try {
            return await host.dialling
          } finally {
            host.dialling = null
          }
        }
      }
    },
    clear,
    close: () => {
      clearInterval(sweep)
      clear() // what is being dialled serves its exchange, and is closed then
      for (const session of all) session.destroy()
    },
  }
}

/** The least busy session that takes one more exchange; null: dial. `another`: null as long as one more may be opened. */
function choose({ sessions }: Host, another: boolean): Session | null {
  const usable = sessions.filter(({ http2 }) => !http2.closed && !http2.destroyed)
  const [first] = usable.toSorted((a, b) => a.open - b.open)
  const mayDial = usable.length < LIMITS.http2ConnectionsPerKey
  if (first === undefined || (mayDial && (another || first.open >= capacity(first)))) return null
  return first // node:http2 queues what is past the origin's limit
}

function capacity({ http2 }: Session): number {
  return Math.min(LIMITS.http2UpstreamStreams, http2.remoteSettings.maxConcurrentStreams ?? Number.POSITIVE_INFINITY)
}

function sessionOn(begin: typeof connect, socket: TLSSocket, name: HostName, port: number): ClientHttp2Session {
  const session = begin(`https://${name}:${port}`, { ...SESSION, createConnection: () => socket })
  session.on('error', () => {}) // 'close' follows
  session.once('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES))
  return session
}

/** Streams do not wait for each other: node:http2 takes from the connection's window whatever a stream does. */
const CONNECTION_WINDOW_BYTES = 4 * LIMITS.http2WindowBytes

const SESSION: SecureClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
  settings: {
    enablePush: false,
    maxHeaderListSize: LIMITS.headBytes,
    initialWindowSize: LIMITS.http2WindowBytes,
  },
  maxHeaderListPairs: LIMITS.headerFields,
  maxSettings: LIMITS.http2SettingsEntries,
  maxReservedRemoteStreams: 0,
  // Its default of 10 MB would refuse streams of a session that many sandboxes share.
  maxSessionMemory: 256,
  strictSingleValueFields: false,
}
