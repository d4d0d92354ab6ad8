/**
 * Agents with HTTP/2 before the proxy that ships: sniffing, TLS, policy, injection, telemetry, pools; and real origins
 * behind it, each on port 443 of an address of 127.0.0.0/8 of its own. Everything on loopback.
 */
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, SecureServerOptions } from 'node:http2'
import { connect as connectHttp2, createSecureServer } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:net'
import type { TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { connect as connectTls } from 'node:tls'
import { createAudit } from '../../src/proxy/audit.ts'
import type { SandboxContext } from '../../src/proxy/context.ts'
import { createGateway, type ProxyGateway } from '../../src/proxy/gateway.ts'
import { serveRequests } from '../../src/proxy/requests.ts'
import { serveHttp2Requests } from '../../src/proxy/requests-http2.ts'
import { sniff } from '../../src/proxy/sniff.ts'
import { tokenBucket } from '../../src/proxy/token-bucket.ts'
import type { AuditLine, GatewayState } from '../../src/shard/protocol.ts'
import { chosenProtocol, terminateTls } from '../../src/tls/terminate.ts'
import { host, policy } from '../policy/fixtures.ts'
import { ai, gateway, inject } from '../resources/fixtures.ts'
import { createPublicAuthority } from '../world/certificates.ts'

export const NAME = 'api.origin.test'
export const CANARY = 'sk-canary-of-the-policy'
export const AUTHORITY = createPublicAuthority()

export type Rig = {
  readonly gateway: ProxyGateway
  /** Where the proxy listens, on 127.0.0.1. */
  readonly port: number
  /** A connection to the proxy, closed after the test. */
  readonly dial: (alpn?: readonly string[]) => Promise<TLSSocket>
  readonly agent: () => ClientHttp2Session
  readonly audited: AuditLine[]
  readonly counters: SandboxContext['counters']
  readonly spans: () => Promise<readonly Span[]>
  readonly changePolicy: (spec: string) => void
  /** Every HTTP/1.1 connection decides again about its WebSocket. */
  readonly recheck: () => void
}

type Span = { name: string; attributes: { key: string; value: Record<string, string> }[]; events: Span[] }

/** `address`: where the origin listens; `match`: what else the route's match says, `, models: [x]`. */
export async function startRig(t: TestContext, address: string, spec = '', match = ''): Promise<Rig> {
  const audited: AuditLine[] = []
  const payloads: string[] = []
  const rechecks: (() => void)[] = []
  const state = (more: string): GatewayState => ({
    policy: policy(
      gateway(`upstreamTLS: {hostAliases: [{hostnames: [${NAME}], ip: ${address}}]}${more}`),
      ai('own', `{provider: custom, hostnames: [${NAME}]${match}}`),
      inject('own', 'AIProviderRoute', 'own', 'X-Api-Key'),
      'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {token: x}\n',
    ),
    secrets: { 'default/keys/token': CANARY },
    authority: '',
    additionalRoots: AUTHORITY.certificate,
  })
  const made = createGateway('default/test', state(spec), {
    roots: '',
    hostAddresses: () => new Set(),
    tee: (signal, payload) => void (signal === 'traces' && payloads.push(payload)),
    warn: () => {},
  })
  made.watch(true)
  const identity = { id: 's', agentKind: 'Run', agentNamespace: 'default', agentName: 'a', runtime: 'local' } as const
  const bucket = tokenBucket(1, 1)
  const context: SandboxContext = {
    identity,
    gateway: made,
    names: { nameAt: () => null, addressOf: () => Promise.resolve(null) },
    leaves: { has: () => true, get: () => Promise.reject(new Error('not asked')), forget: () => {} },
    audit: createAudit(identity, 'default/test', line => audited.push(line)),
    counters: { connections: 0, requests: 0, injected: 0, denied: 0, recorded: 0 },
    mint: { allowed: bucket, denied: bucket },
  }
  const authority = { scheme: 'https', name: host(NAME), port: 443 } as const
  const sockets = new Set<Socket>()
  const proxy = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, async socket => {
    sockets.add(socket.on('error', () => {}))
    const hello = await sniff(socket, false)
    if (hello.kind !== 'tls') return void socket.destroy()
    const secured = await terminateTls(socket, hello.bytes, AUTHORITY.context(NAME), chosenProtocol(hello.alpn)).catch(
      () => null,
    )
    if (secured === null) return
    if (secured.alpnProtocol === 'h2') serveHttp2Requests(context, secured, authority, await made.http2())
    else rechecks.push(serveRequests(context, secured, authority))
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo

  const open = (alpn: readonly string[]) => {
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      servername: NAME,
      ca: AUTHORITY.certificate,
      ALPNProtocols: [...alpn],
    })
    sockets.add(socket.on('error', () => {}))
    return socket
  }
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
    await made.close()
  })
  return {
    gateway: made,
    port,
    audited,
    counters: context.counters,
    dial: async (alpn = ['h2']) => {
      const socket = open(alpn)
      await once(socket, 'secureConnect')
      return socket
    },
    agent: () => {
      // With less, Node's client takes no answer while it has more than that to send.
      const options = { maxSessionMemory: 256, createConnection: () => open(['h2']) }
      const session = connectHttp2(`https://${NAME}`, options)
      return session.on('error', () => {})
    },
    spans: async () => {
      await made.exporter().flush()
      return payloads.flatMap(payload => JSON.parse(payload).resourceSpans[0].scopeSpans[0].spans)
    },
    changePolicy: more => made.update(state(`, ${more}`)),
    recheck: () => {
      for (const recheck of rechecks) recheck()
    },
  }
}

let last = 1

/** An origin that speaks HTTP/2, on port 443 of a fresh address. */
export async function startHttp2Origin(t: TestContext, options: SecureServerOptions = {}) {
  const sessions: Socket[] = []
  const address = `127.20.${process.pid % 250}.${++last}`
  const server = createSecureServer({ ...AUTHORITY.leaf(NAME), ...options })
  server.on('secureConnection', socket => sessions.push(socket.on('error', () => {})))
  server.on('sessionError', () => {})
  server.listen(443, address)
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sessions) socket.destroy()
    server.close()
  })
  return { address, server, sessions }
}

export type Answered = {
  readonly headers: IncomingHttpHeaders & { ':status'?: number | undefined }
  readonly raw: readonly string[]
  readonly body: Buffer
  readonly trailers: IncomingHttpHeaders | null
  readonly code: number
}

/** Waits for the whole answer. */
export async function answered(stream: ClientHttp2Stream): Promise<Answered> {
  let [headers, raw]: [Answered['headers'], readonly string[]] = [{}, []]
  let trailers: IncomingHttpHeaders | null = null
  const chunks: Buffer[] = []
  stream.on('response', (received, _flags, fields) => {
    headers = received
    raw = fields
  })
  stream.on('trailers', received => {
    trailers = received
  })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', () => {})
  await new Promise(resolve => stream.on('close', resolve))
  return { headers, raw, body: Buffer.concat(chunks), trailers, code: stream.rstCode ?? 0 }
}

/** One request without a body, or with `body`. */
export function get(agent: ClientHttp2Session, headers: Record<string, string | string[]>, body?: string | Buffer) {
  const stream = agent.request({ ':path': '/', ...headers }, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  return answered(stream)
}
