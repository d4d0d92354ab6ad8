/** Real sockets on loopback around `serveHttp1`: a scripted origin, a pool of one kind, and raw agents. */
import { once } from 'node:events'
import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import type { ClrkFault } from '../../src/errors.ts'
import { describe } from '../../src/errors.ts'
import { serveHttp1 } from '../../src/http1/exchange.ts'
import type { RequestHead } from '../../src/http1/head.ts'
import type { Decision, ExchangeSummary, Forward, UpstreamLease } from '../../src/http1/hooks.ts'
import type { Http1Options } from '../../src/http1/session.ts'

/** One end of a connection, read by hand. */
export type Peer = {
  readonly socket: Socket
  /** All that came, as latin1. */
  text: string
  readonly write: (latin1: string) => void
  /** Waits until `text` holds `needle` (`times` times), and returns `text`. Rejects when the connection ends before. */
  readonly until: (needle: string, times?: number) => Promise<string>
  /** Waits for the end of the connection, and returns `text`. */
  readonly closed: Promise<string>
}

export type Rig = {
  readonly port: number
  /** Connections to the origin, in order. */
  readonly upstreams: Peer[]
  readonly nextUpstream: () => Promise<Peer>
  readonly agent: (options?: { allowHalfOpen?: boolean }) => Promise<Peer>
  /** The proxy's ends of the agents' connections, in order. */
  readonly served: Socket[]
  readonly idle: Socket[]
  readonly heads: RequestHead[]
  readonly faults: ClrkFault[]
  readonly reports: unknown[]
  readonly ends: ExchangeSummary[]
  readonly released: boolean[]
}

export type RigOptions = {
  /** Changes the decision to forward, or replaces it. */
  decide?: (forward: Forward, head: RequestHead) => Decision | Promise<Decision>
  /** Called for every upstream connection. */
  origin?: (peer: Peer, index: number) => void
  session?: Partial<Http1Options>
  tls?: { key: string; cert: string }
  allowHalfOpen?: boolean
}

export async function startRig(t: TestContext, options: RigOptions = {}): Promise<Rig> {
  const waiting: ((peer: Peer) => void)[] = []
  const unclaimed: Peer[] = []
  const upstreams: Peer[] = []
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)))
    return socket
  }
  const origin = createServer({ allowHalfOpen: true }, socket => {
    const peer = peerOf(keep(socket))
    upstreams.push(peer)
    options.origin?.(peer, upstreams.length - 1)
    const claim = waiting.shift()
    if (claim === undefined) unclaimed.push(peer)
    else claim(peer)
  })
  const originPort = await listen(origin)

  const rig: Omit<Rig, 'port' | 'nextUpstream' | 'agent'> = {
    upstreams,
    served: [],
    idle: [],
    heads: [],
    faults: [],
    reports: [],
    ends: [],
    released: [],
  }

  async function acquire(fresh: boolean): Promise<UpstreamLease> {
    const pooled = fresh ? undefined : rig.idle.pop()
    const socket = pooled ?? keep(connect(originPort, '127.0.0.1'))
    if (pooled === undefined) await once(socket, 'connect')
    const release = (reusable: boolean) => {
      rig.released.push(reusable)
      if (reusable) rig.idle.push(socket)
    }
    return { socket, fresh: pooled === undefined, release }
  }

  const serve = (socket: Socket) => {
    rig.served.push(socket)
    serveHttp1(
      keep(socket),
      {
        decide(head) {
          rig.heads.push(head)
          const forward: Forward = {
            kind: 'forward',
            upgrade: null,
            remove: () => false,
            set: [],
            target: head.target,
            acquire,
            observer: {
              requestHead() {},
              requestBody() {},
              responseHead() {},
              responseBody() {},
              end: summary => rig.ends.push(summary),
            },
            guard: null,
            firstByteMs: 60_000,
          }
          return options.decide === undefined ? forward : options.decide(forward, head)
        },
        failed(_, fault) {
          rig.faults.push(fault)
          const { status, code, why } = describe(fault)
          return { kind: 'answer', status, reason: code, headers: [], body: why, close: false }
        },
        report: error => rig.reports.push(error),
      },
      options.session,
    )
  }
  const { allowHalfOpen = false } = options
  const proxy = options.tls
    ? createTlsServer({ ...options.tls, allowHalfOpen }, serve)
    : createServer({ allowHalfOpen }, serve)
  const port = await listen(proxy)
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    origin.close()
    proxy.close()
  })

  return {
    ...rig,
    port,
    nextUpstream: () => {
      const peer = unclaimed.shift()
      return peer === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(peer)
    },
    agent: async ({ allowHalfOpen: half = true } = {}) => {
      const socket = keep(connect({ port, host: '127.0.0.1', allowHalfOpen: half, noDelay: true }))
      await once(socket, 'connect')
      return peerOf(socket)
    },
  }
}

export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function peerOf(socket: Socket): Peer {
  const checks = new Set<() => void>()
  const check = () => {
    for (const each of checks) each()
  }
  let over = false
  const end = () => {
    over = true
    check()
  }
  socket.on('data', chunk => {
    peer.text += chunk.toString('latin1')
    check()
  })
  socket.on('end', end).on('close', end)
  const peer: Peer = {
    socket,
    text: '',
    write: latin1 => socket.write(latin1, 'latin1'),
    until: (needle, times = 1) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = peer.text.split(needle).length > times
          if (!found && !over) return
          checks.delete(look)
          if (found) resolve(peer.text)
          else reject(new Error(`ended without ${JSON.stringify(needle)}: ${JSON.stringify(peer.text)}`))
        }
        checks.add(look)
        look()
      }),
    closed: new Promise(resolve => {
      const look = () => {
        if (over) resolve(peer.text)
      }
      checks.add(look)
    }),
  }
  return peer
}
