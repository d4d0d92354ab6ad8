/**
 * From a name to a connected upstream: resolve on the host, decide on each answer, connect to an address that was
 * decided on and to no other, directly or through the gateway's `upstreamProxy`, verify the certificate for the name.
 * The only way in which connections are opened for an agent.
 */
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
import { type CheckedAddress, notTheProxy, staysOnHost } from '../policy/decide-upstream.ts'
import type { HostName, Policy, UpstreamProxy } from '../policy/policy.ts'
import type { SecretValue } from '../secrets/value.ts'
import { proxyAuthorization } from './proxy-credential.ts'
import { race } from './race.ts'
import { type DialTarget, nameOf, resolveChecked, resolveProxy } from './resolve.ts'
import { openTunnel, proxyFailed } from './tunnel.ts'
import { opened, type Patience } from './wait.ts'

export type DialContext = {
  readonly policy: Policy
  /** Host roots plus `upstreamTLS`; made once per gateway, because parsing 140 roots takes milliseconds. */
  readonly trust: SecureContext
  readonly hostAddresses: ReadonlySet<string>
  /** `namespace/name/key` of the proxy's Secret. */
  readonly secretOf: (name: string) => SecretValue | undefined
}

/** A context that trusts `roots` (PEM bundle) and speaks TLS 1.2 and up. Throws on PEM that OpenSSL refuses. */
export function upstreamTrust(roots: string): SecureContext {
  return createSecureContext({ ca: roots, minVersion: 'TLSv1.2' })
}

/**
 * TCP (half-open allowed) to the address of `target` that answers first (`race`); with a proxy, a tunnel to it. Rejects
 * with a ClrkError: every address denied → the denial of the first, none reachable → CLRK_UPSTREAM_UNREACHABLE, and of a
 * proxy CLRK_UPSTREAM_PROXY or CLRK_SECRET_MISSING.
 */
export async function dialTcp(context: DialContext, target: DialTarget, port: number): Promise<Socket> {
  const { addresses, proxy } = await resolveTarget(context, target, port)
  const patience = patienceOfDial()
  if (proxy !== null) return tunnel(context, proxy, addresses, port, true, patience)
  return connect(target, addresses, port, patience, host =>
    connectTcp({ host, port, noDelay: true, allowHalfOpen: true }),
  )
}

/**
 * TLS to `name`, verified against the gateway's trust; `session` resumes an earlier one, `protocols` are offered by ALPN
 * in that order. Rejects like `dialTcp`, and with CLRK_UPSTREAM_TLS.
 */
export async function dialTls(
  context: DialContext,
  name: HostName,
  port: number,
  session: Buffer | undefined,
  protocols: readonly string[] = ['http/1.1'],
): Promise<TLSSocket> {
  const { addresses, proxy } = await resolveTarget(context, { name }, port)
  const patience = patienceOfDial()
  const begin = (over: ConnectionOptions) =>
    connectTls({
      ...over,
      servername: name,
      secureContext: context.trust,
      ALPNProtocols: [...protocols],
      ...(session === undefined ? {} : { session }),
    })
  const socket =
    proxy !== null
      ? begin({ socket: await tunnel(context, proxy, addresses, port, false, patience) })
      : // Not over a socket that is there already: what TLS wraps costs two microseconds more for each exchange.
        await connect({ name }, addresses, port, patience, host =>
          begin({ host, port, noDelay: true } as ConnectionOptions),
        )
  try {
    return await opened(socket, 'secureConnect', patience)
  } catch (error) {
    throw clrkError('CLRK_UPSTREAM_TLS', { name, port, reason: messageOf(error) })
  }
}

/** What to tell the agent of anything that a dial rejected with. */
export function faultOf(error: unknown): ClrkFault {
  return isClrkError(error) ? error.fault : { code: 'CLRK_INTERNAL', details: { reason: messageOf(error) } }
}

/** Where to, and by which proxy; null: directly. */
async function resolveTarget(
  context: DialContext,
  target: DialTarget,
  port: number,
): Promise<{ readonly addresses: readonly CheckedAddress[]; readonly proxy: UpstreamProxy | null }> {
  const { policy, hostAddresses } = context
  const { fault, gateway, upstreamProxy } = policy
  if (fault !== null) throw clrkError(fault.code, fault.details) // an incomplete policy lets nothing out
  const allowed = await resolveChecked(policy, hostAddresses, target, port)
  const isProxyPort = port === upstreamProxy?.port
  const addresses = isProxyPort ? notTheProxy(allowed, await proxyAddresses(context, upstreamProxy)) : allowed
  const [address = ''] = allowed
  if (addresses.length === 0) {
    const range = "the gateway's own upstreamProxy"
    throw clrkError('CLRK_ADDRESS_SPECIAL', { gateway, name: nameOf(target), address, port, range })
  }
  return { addresses, proxy: addresses.every(staysOnHost) ? null : upstreamProxy }
}

function patienceOfDial(): Patience {
  return { until: performance.now() + LIMITS.upstreamConnectMs, signal: null }
}

/** `begin` begins a connection to an address that was checked, and to no other. */
async function connect<S extends Socket>(
  target: DialTarget,
  addresses: readonly CheckedAddress[],
  port: number,
  patience: Patience,
  begin: (address: CheckedAddress) => S,
): Promise<S> {
  try {
    return await race(addresses, patience, (address, own) => opened(begin(address), 'connect', own))
  } catch (error) {
    throw clrkError('CLRK_UPSTREAM_UNREACHABLE', { name: nameOf(target), port, reason: messageOf(error) })
  }
}

async function tunnel(
  context: DialContext,
  proxy: UpstreamProxy,
  targets: readonly CheckedAddress[],
  port: number,
  allowHalfOpen: boolean,
  patience: Patience,
): Promise<Socket> {
  const { policy, trust, secretOf } = context
  const authorization = proxyAuthorization(proxy, secretOf)
  const addresses = await proxyAddresses(context, proxy)
  const route = { gateway: policy.gateway, proxy, addresses, trust, authorization, allowHalfOpen }
  return openTunnel(route, targets, port, patience)
}

function proxyAddresses({ policy, hostAddresses }: DialContext, proxy: UpstreamProxy) {
  return resolveProxy(policy, hostAddresses, proxy).catch(error => {
    throw isClrkError(error) ? error : proxyFailed({ gateway: policy.gateway, proxy }, 'looking up its name', error)
  })
}
