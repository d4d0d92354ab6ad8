/**
 * A way through the operator's own HTTP proxy (`upstreamProxy`): CONNECT (RFC 9110 §9.3.6) to an address that was
 * checked, never to a name, so that no other resolver chooses what is dialled. Of what the proxy says only the status is
 * ever passed on.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { clrkError, isClrkError, messageOf } from '../errors.ts'
import { createResponseReader } from '../http1/head-reader.ts'
import { parseAddress } from '../policy/addresses.ts'
import { authorityOf } from '../policy/authority.ts'
import type { CheckedAddress } from '../policy/decide-upstream.ts'
import type { UpstreamProxy } from '../policy/policy.ts'
import { race } from './race.ts'
import { opened, type Patience, waitFor } from './wait.ts'

export type ProxyRoute = {
  /** For the failures. */
  readonly gateway: string
  readonly proxy: UpstreamProxy
  /** Of the proxy itself. */
  readonly addresses: readonly CheckedAddress[]
  /** Its certificate is verified as an origin's is. */
  readonly trust: SecureContext
  /** The value of Proxy-Authorization, or null. */
  readonly authorization: string | null
  readonly allowHalfOpen: boolean
}

/**
 * A connection to the first of `targets` that the proxy lets through, as `race` tries them; what the target sent already
 * is still to be read on it. Rejects with CLRK_UPSTREAM_PROXY, which names the step that failed.
 */
export async function openTunnel(
  route: ProxyRoute,
  targets: readonly CheckedAddress[],
  port: number,
  patience: Patience,
): Promise<Socket> {
  try {
    return await race(targets, patience, async (target, own) => {
      const socket = await connectProxy(route, own)
      return connected(socket, authorityOf(target, port), route, own)
    })
  } catch (error) {
    throw isClrkError(error) ? error : proxyFailed(route, 'CONNECT', error)
  }
}

/** CLRK_UPSTREAM_PROXY for a `step` and its error, whose message holds no credential. */
export function proxyFailed(route: Pick<ProxyRoute, 'gateway' | 'proxy'>, step: string, error: unknown) {
  const { gateway, proxy } = route
  const details = { gateway, proxy: authorityOf(proxy.host, proxy.port), step, reason: messageOf(error) }
  return clrkError('CLRK_UPSTREAM_PROXY', details)
}

async function connectProxy(route: ProxyRoute, patience: Patience): Promise<Socket> {
  const { proxy, addresses, trust, allowHalfOpen } = route
  const servername = parseAddress(proxy.host) === null ? { servername: proxy.host } : {} // else its address is verified
  const secure = { secureContext: trust, ALPNProtocols: ['http/1.1'], ...servername }
  const to = (host: string) => ({ host, port: proxy.port, noDelay: true, allowHalfOpen })
  const connect = (host: string) => (proxy.secure ? connectTls({ ...to(host), ...secure }) : connectTcp(to(host)))
  const refused = (step: string) => (error: unknown) => Promise.reject(proxyFailed(route, step, error))
  const socket = await race(addresses, patience, (host, own) => opened(connect(host), 'connect', own)).catch(
    refused('connecting to it'),
  )
  return proxy.secure ? opened(socket, 'secureConnect', patience).catch(refused('TLS with it')) : socket
}

/** Asks for `authority`. 407 is about the proxy and ends the dial; any other refusal is about that address. */
function connected(socket: Socket, authority: string, route: ProxyRoute, patience: Patience): Promise<Socket> {
  const { authorization } = route
  const credential = authorization === null ? '' : `Proxy-Authorization: ${authorization}\r\n`
  const reader = createResponseReader()
  return waitFor(socket, patience, (succeed, fail) => {
    const refuse = (reason: string) => fail(new Error(`${reason} when asked for ${authority}`))
    // By `read`, not by 'data': it leaves the socket as it was, neither flowing nor paused.
    const read = () => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        const result = reader.push(chunk)
        if (result.kind === 'more') continue
        if (result.kind === 'error') return refuse(`its answer was refused (${result.details.reason})`)
        const { status } = result.head
        if (status === 407) return fail(proxyFailed(route, 'CONNECT', 'it answered 407: it wants another credential'))
        if (status < 200 || status > 299) return refuse(`it answered ${status}`)
        succeed(socket)
        if (result.rest.length > 0) socket.unshift(result.rest)
        return
      }
    }
    const ended = () => refuse('it closed the connection')
    socket.on('readable', read).on('end', ended)
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credential}\r\n`, 'latin1')
    return () => socket.off('readable', read).off('end', ended)
  })
}
