/**
 * From a name to a connected upstream: resolve on the host, decide on each answer, connect to the address that was
 * decided on and to no other, verify the certificate for the name. The only file that opens connections for an agent.
 */
import { lookup } from 'node:dns/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import {
  type ConnectionOptions,
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls'
import { type ClrkFault, clrkError, isClrkError, messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { parseAddress } from '../policy/addresses.ts'
import { type CheckedAddress, decideUpstream, resolveAlias } from '../policy/decide-upstream.ts'
import type { HostName, IpAddress, Policy } from '../policy/policy.ts'

/** By name, or by an address that a CIDR rule (or allow-all) opens. */
export type DialTarget = { readonly name: HostName } | { readonly address: IpAddress }

export type DialContext = {
  readonly policy: Policy
  /** Host roots plus `upstreamTLS`; made once per gateway, because parsing 140 roots takes milliseconds. */
  readonly trust: SecureContext
  readonly hostAddresses: ReadonlySet<string>
}

/** A context that trusts `roots` (PEM bundle) and speaks TLS 1.2 and up. Throws on PEM that OpenSSL refuses. */
export function upstreamTrust(roots: string): SecureContext {
  return createSecureContext({ ca: roots, minVersion: 'TLSv1.2' })
}

/**
 * TCP (half-open allowed) to the first address of `target` that answers, tried in order. Rejects with a ClrkError: every address denied →
 * the denial of the first, none reachable → CLRK_UPSTREAM_UNREACHABLE.
 */
export function dialTcp(context: DialContext, target: DialTarget, port: number): Promise<Socket> {
  return connectChecked(context, target, port, host => connectTcp({ host, port, noDelay: true, allowHalfOpen: true }))
}

/** `connect` begins a connection to an address that was checked, and to no other. */
async function connectChecked<S extends Socket>(
  context: DialContext,
  target: DialTarget,
  port: number,
  connect: (address: CheckedAddress) => S,
): Promise<S> {
  const { fault } = context.policy
  if (fault !== null) throw clrkError(fault.code, fault.details) // an incomplete policy lets nothing out
  const addresses = await resolveChecked(context, target, port)
  let reason = 'no address'
  for (const address of addresses) {
    try {
      return await opened(connect(address), 'connect')
    } catch (error) {
      reason = messageOf(error)
    }
  }
  throw clrkError('CLRK_UPSTREAM_UNREACHABLE', { name: nameOf(target), port, reason })
}

/**
 * TLS to `name`, verified against the gateway's trust; `session` resumes an earlier one, `protocols` are offered by ALPN
 * in that order. Rejects like `dialTcp`.
 */
export async function dialTls(
  context: DialContext,
  name: HostName,
  port: number,
  session: Buffer | undefined,
  protocols: readonly string[] = ['http/1.1'],
): Promise<TLSSocket> {
  const socket = await connectChecked(context, { name }, port, host =>
    // Not over a socket that is there already: what TLS wraps costs two microseconds more for each exchange.
    connectTls({
      host,
      port,
      noDelay: true,
      servername: name,
      secureContext: context.trust,
      ALPNProtocols: [...protocols],
      ...(session === undefined ? {} : { session }),
    } as ConnectionOptions),
  )
  try {
    return await opened(socket, 'secureConnect')
  } catch (error) {
    throw clrkError('CLRK_UPSTREAM_TLS', { name, port, reason: messageOf(error) })
  }
}

/** Addresses of `target` that may be dialled, in the gateway's family order; never empty. */
async function resolveChecked(
  { policy, hostAddresses }: DialContext,
  target: DialTarget,
  port: number,
): Promise<readonly CheckedAddress[]> {
  const candidates = 'address' in target ? [target.address] : await resolve(policy, target.name)
  const allowed: CheckedAddress[] = []
  let denial: ClrkFault | null = null
  for (const address of candidates) {
    const decision = decideUpstream(policy, target, port, address, hostAddresses)
    if (decision.verdict === 'dial') allowed.push(decision.address)
    else denial ??= decision.fault
  }
  if (allowed.length > 0) return allowed
  if (denial !== null) throw clrkError(denial.code, denial.details)
  throw clrkError('CLRK_UPSTREAM_UNRESOLVED', { name: nameOf(target), reason: 'no address of a usable family' })
}

async function resolve(policy: Policy, name: HostName): Promise<readonly IpAddress[]> {
  const alias = resolveAlias(policy, name)
  if (alias !== null) return [alias]
  try {
    const answers = await lookup(name, { all: true, order: 'verbatim' })
    const family = policy.lookupFamily
    const wanted = answers.filter(
      ({ family: f }) => (family !== 'V4Only' || f === 4) && (family !== 'V6Only' || f === 6),
    )
    if (family === 'V4Preferred') wanted.sort((a, b) => a.family - b.family)
    return wanted.map(({ address }) => parseAddress(address)).filter(address => address !== null)
  } catch (error) {
    throw clrkError('CLRK_UPSTREAM_UNRESOLVED', { name, reason: messageOf(error) })
  }
}

function opened<S extends Socket>(socket: S, event: 'connect' | 'secureConnect'): Promise<S> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null) => {
      clearTimeout(timer)
      socket.off(event, succeed).off('error', fail).off('close', closed)
      socket.on('error', () => {}) // whoever gets the socket reads its end from 'close'
      if (error === null) return resolve(socket)
      socket.destroy()
      reject(error)
    }
    const succeed = () => done(null)
    const fail = (error: Error) => done(error)
    const closed = () => done(new Error('the connection was closed'))
    const timer = setTimeout(() => done(new Error('timed out')), LIMITS.upstreamConnectMs)
    socket.on(event, succeed).on('error', fail).on('close', closed)
  })
}

function nameOf(target: DialTarget): string {
  return 'name' in target ? target.name : target.address
}

/** What to tell the agent of anything that a dial rejected with. */
export function faultOf(error: unknown): ClrkFault {
  return isClrkError(error) ? error.fault : { code: 'CLRK_INTERNAL', details: { reason: messageOf(error) } }
}
