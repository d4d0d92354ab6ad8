/** One connection of an agent from accept to close: destination → sniff → decision → whoever carries it out. */
import type { Socket } from 'node:net'
import { type ClrkFault, clrkError } from '../errors.ts'
import type { Http2Connection } from '../http2/serve.ts'
import { originalDestination } from '../kernel/syscalls.ts'
import { LIMITS } from '../limits.ts'
import { parseAddress } from '../policy/addresses.ts'
import { decideSniffed, decideTarget, type SniffedDecision } from '../policy/decide-connection.ts'
import type { HostName } from '../policy/policy.ts'
import { chosenProtocol, terminateTls } from '../tls/terminate.ts'
import { dialTcp, faultOf } from '../upstream/dial.ts'
import type { DialTarget } from '../upstream/resolve.ts'
import { reportLimit } from './audit.ts'
import type { Authority, SandboxContext } from './context.ts'
import { reset } from './deny.ts'
import { firstToSpeak } from './first-words.ts'
import { type Destination, refuse, refused, report } from './refuse.ts'
import { serveExplanation, serveRequests } from './requests.ts'
import { refuseLateRequest, type Sniffed, sniff, UNFINISHED } from './sniff.ts'
import { splice } from './splice.ts'

export type Revocable = {
  /** Decides again under the policy of now; what it no longer allows is closed. */
  readonly recheck: () => void
  readonly destroy: () => void
}

/** Ports on which a refused client is likely to read an HTTP answer, in the clear or inside TLS. */
const EXPLAINED_PORTS: ReadonlySet<number> = new Set([80, 443])

/** Never throws: whatever goes wrong ends this connection and no other. */
export function handleConnection(context: SandboxContext, socket: Socket): Revocable {
  socket.on('error', () => {})
  context.counters.connections += 1
  const destination = destinationOf(context, socket)
  const standing: Standing = { sniffed: null, action: null, http2: null, recheckUpgraded: () => {} }
  const end = () => {
    if (standing.http2 === null) socket.destroy()
    else standing.http2.close()
  }
  if (destination === null) socket.destroy()
  else {
    carry(context, socket, destination, standing).catch(error => {
      refuse(context, socket, destination, faultOf(error), 'tcp', 'failed')
    })
  }
  return {
    recheck: () => {
      if (destination === null || standing.sniffed === null) return
      const { target, port } = destination
      const now = decideSniffed(context.gateway.policy(), target, port, standing.sniffed)
      if (now.action !== standing.action) end()
      else standing.recheckUpgraded()
    },
    destroy: end,
  }
}

const EMPTY = Buffer.alloc(0)

/**
 * What a connection was allowed as, for `recheck`; its session where it speaks HTTP/2: that one is told (GOAWAY); and
 * what decides again about a WebSocket on it.
 */
type Standing = {
  sniffed: Words | null
  action: SniffedDecision['action'] | null
  http2: Http2Connection | null
  recheckUpgraded: () => void
}

/** What a decision can be made on. */
type Words = Exclude<Sniffed, { kind: 'error' | 'nothing' }>

/** What came first; `alpn` where it was a ClientHello. */
type Hello = { readonly bytes: Buffer; readonly alpn?: readonly string[] }

const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2')

/** Null where the connection was not redirected here (it reached our port directly) or is gone already. */
function destinationOf({ names }: SandboxContext, socket: Socket): Destination | null {
  const fd = descriptorOf(socket)
  const original = fd === null ? null : originalDestination(fd)
  if (original === null) return null
  const { port } = original
  const address = parseAddress(original.address)
  if (address === null) return null
  const name = names.nameAt(original.address)
  if (name === 'explaining') return { target: { kind: 'explaining' }, address, port }
  if (name !== null) return { target: { kind: 'name', name }, address, port }
  return { target: { kind: 'address', address }, address, port }
}

/** Node shows a socket's descriptor on its handle only. */
function descriptorOf(socket: Socket): number | null {
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : null
  return typeof fd === 'number' && fd >= 0 ? fd : null
}

async function carry(
  context: SandboxContext,
  socket: Socket,
  destination: Destination,
  standing: Standing,
): Promise<void> {
  const { target, port } = destination
  const first = decideTarget(context.gateway.policy(), target, port)
  if (first.verdict === 'deny' && !EXPLAINED_PORTS.has(port)) {
    return refuse(context, socket, destination, first.fault, 'tcp')
  }
  const serverMaySpeakFirst =
    first.verdict === 'raw-address' || (first.verdict === 'allow' && !EXPLAINED_PORTS.has(port))
  await follow(context, socket, destination, standing, await sniff(socket, serverMaySpeakFirst), null)
}

/** `upstream`: where the agent was silent, the connection that was made for it. */
async function follow(
  context: SandboxContext,
  socket: Socket,
  destination: Destination,
  standing: Standing,
  sniffed: Sniffed,
  upstream: Socket | null,
): Promise<void> {
  const { target, port } = destination
  if (socket.destroyed) return
  if (sniffed.kind === 'nothing') return reset(socket)
  if (sniffed.kind === 'error') {
    return refuse(context, socket, destination, at(destination, sniffed.fault), 'tls')
  }

  const decision = decideSniffed(context.gateway.policy(), target, port, sniffed)
  standing.sniffed = { ...sniffed, bytes: EMPTY }
  standing.action = decision.action
  if ('wouldDeny' in decision && decision.wouldDeny !== undefined && decision.wouldDeny !== null) {
    report(context, destination, decision.wouldDeny, sniffed.kind === 'raw' ? 'tcp' : sniffed.kind, 'would-deny')
  }
  if (upstream !== null && decision.action === 'splice') {
    return upstream.destroyed ? reset(socket) : join(context, socket, destination, upstream, sniffed)
  }
  upstream?.destroy()
  switch (decision.action) {
    case 'terminate':
      return terminate(context, socket, { scheme: 'https', name: decision.name, port }, sniffed, standing)
    case 'http':
      if (sniffed.bytes.subarray(0, HTTP2_PREFACE.length).equals(HTTP2_PREFACE)) {
        const details = { name: decision.name, port, expected: 'HTTP/1.1', found: 'HTTP/2 without TLS' }
        return refuse(context, socket, destination, { code: 'CLRK_PROTOCOL_NOT_ALLOWED', details }, 'http')
      }
      socket.unshift(sniffed.bytes)
      standing.recheckUpgraded = serveRequests(context, socket, { scheme: 'http', name: decision.name, port })
      return
    case 'passthrough':
      return spliceTo(context, socket, destination, { name: decision.name }, sniffed)
    case 'splice': {
      const { name, address } = decision
      if (name !== null && sniffed.bytes.length === 0) return hear(context, socket, destination, standing, name)
      if (name !== null) return spliceTo(context, socket, destination, { name }, sniffed)
      if (address !== null) return spliceTo(context, socket, destination, { address }, sniffed)
      throw clrkError('CLRK_INTERNAL', { reason: 'a splice without a destination' })
    }
    case 'explain':
      return explain(context, socket, destination, decision, sniffed, standing)
    case 'reset':
      return refuse(context, socket, destination, decision.fault, sniffed.kind === 'raw' ? 'tcp' : sniffed.kind)
  }
}

async function terminate(
  context: SandboxContext,
  socket: Socket,
  authority: Authority,
  hello: Hello,
  standing: Standing,
): Promise<void> {
  const { gateway, leaves, mint } = context
  const { name } = authority
  if (!leaves.has(gateway.id, name) && !mint.allowed.take()) {
    reportLimit(context.audit, 'certificates', LIMITS.leafBurst, name)
    return reset(socket)
  }
  const secured = await secure(context, socket, name, hello)
  if (secured === null) return
  if (secured.alpnProtocol === 'h2') {
    const { serveHttp2Requests } = await import('./requests-http2.ts')
    const upstream = await gateway.http2()
    if (!secured.destroyed) standing.http2 = serveHttp2Requests(context, secured, authority, upstream)
  } else standing.recheckUpgraded = serveRequests(context, secured, authority)
}

/** A handshake that fails is the agent's choice (it does not trust us, it went away): nothing to report upstream. */
async function secure({ gateway, leaves }: SandboxContext, socket: Socket, name: string, hello: Hello) {
  const leaf = await leaves.get(gateway.id, name)
  if (socket.destroyed) return null
  return terminateTls(socket, hello.bytes, leaf.context(), chosenProtocol(hello.alpn ?? [])).catch(() => null)
}

async function explain(
  context: SandboxContext,
  socket: Socket,
  destination: Destination,
  { how, name, fault }: Extract<SniffedDecision, { action: 'explain' }>,
  sniffed: Hello,
  standing: Standing,
): Promise<void> {
  refused(context, destination, fault, how, name)
  if (how === 'http') {
    socket.unshift(sniffed.bytes)
    return serveExplanation(context, socket, fault)
  }
  const { gateway, leaves, mint } = context
  if (!leaves.has(gateway.id, name) && !mint.denied.take()) {
    reportLimit(context.audit, 'certificates for refused names', LIMITS.leafDeniedBurst, name)
    return reset(socket)
  }
  const secured = await secure(context, socket, name, sniffed)
  if (secured === null) return
  const authority: Authority = { scheme: 'https', name, port: destination.port }
  if (secured.alpnProtocol === 'h2') {
    const { serveHttp2Explanation } = await import('./requests-http2.ts')
    if (!secured.destroyed) standing.http2 = serveHttp2Explanation(context, secured, authority, fault)
  } else serveExplanation(context, secured, fault)
}

/** The agent was silent: the server may speak first. If the agent does after all, its first bytes decide as always. */
async function hear(
  context: SandboxContext,
  socket: Socket,
  destination: Destination,
  standing: Standing,
  name: HostName,
): Promise<void> {
  const upstream = await dialTcp(context.gateway.dialContext(), { name }, destination.port)
  const speaker = await firstToSpeak(socket, upstream)
  if (speaker === null) return
  if (speaker === upstream) return splice(socket, upstream, null, () => {})
  try {
    await follow(context, socket, destination, standing, await sniff(socket, false), upstream)
  } finally {
    if (upstream.listenerCount('data') === 0) upstream.destroy() // it was not spliced
  }
}

async function spliceTo(
  context: SandboxContext,
  socket: Socket,
  destination: Destination,
  to: DialTarget,
  sniffed: Words,
): Promise<void> {
  const upstream = await dialTcp(context.gateway.dialContext(), to, destination.port)
  if (socket.destroyed) return void upstream.destroy()
  join(context, socket, destination, upstream, sniffed)
}

/** Splices; HTTP that comes in two halves, so that the first passes for something else, goes no further. */
function join(context: SandboxContext, socket: Socket, destination: Destination, upstream: Socket, sniffed: Words) {
  const refuseHalf = () => refuse(context, socket, destination, at(destination, UNFINISHED.fault), 'http')
  if (sniffed.kind === 'raw' && sniffed.undecided) refuseLateRequest(socket, upstream, sniffed.bytes, refuseHalf)
  splice(socket, upstream, sniffed.bytes, () => {})
}

function at({ target, address, port }: Destination, { code, details }: ClrkFault): ClrkFault {
  return { code, details: { name: target.kind === 'name' ? target.name : address, port, ...details } }
}
