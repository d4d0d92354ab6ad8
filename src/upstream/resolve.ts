/** From a name to the addresses that may be dialled for it: the host's resolver is asked, each answer is decided on. */
import { lookup } from 'node:dns/promises'
import { type ClrkFault, clrkError, messageOf } from '../errors.ts'
import { parseAddress } from '../policy/addresses.ts'
import { type CheckedAddress, decideProxy, decideUpstream, resolveAlias } from '../policy/decide-upstream.ts'
import { canonicalName } from '../policy/names.ts'
import type { HostName, IpAddress, Policy, UpstreamProxy } from '../policy/policy.ts'

/** By name, or by an address that a CIDR rule (or allow-all) opens. */
export type DialTarget = { readonly name: HostName } | { readonly address: IpAddress }

/**
 * Addresses of `target` that may be dialled, in the order in which they are attempted; never empty. Rejects with the
 * denial of the first where all are denied, with CLRK_UPSTREAM_UNRESOLVED where there are none.
 */
export async function resolveChecked(
  policy: Policy,
  hostAddresses: ReadonlySet<string>,
  target: DialTarget,
  port: number,
): Promise<readonly CheckedAddress[]> {
  const unresolved = (error: unknown) =>
    clrkError('CLRK_UPSTREAM_UNRESOLVED', { name: nameOf(target), reason: messageOf(error) })
  const candidates =
    'address' in target
      ? [target.address]
      : await resolve(policy, target.name).catch(error => Promise.reject(unresolved(error)))
  const { allowed, denial } = sort(candidates, address => decideUpstream(policy, target, port, address, hostAddresses))
  if (allowed.length > 0) return allowed
  if (denial !== null) throw clrkError(denial.code, denial.details)
  throw unresolved('no address of a usable family')
}

/** The same for the gateway's own proxy. A failed lookup rejects with the resolver's error. */
export async function resolveProxy(
  policy: Policy,
  hostAddresses: ReadonlySet<string>,
  proxy: UpstreamProxy,
): Promise<readonly CheckedAddress[]> {
  const literal = parseAddress(proxy.host)
  const name = canonicalName(proxy.host)
  const candidates = literal !== null ? [literal] : name === null ? [] : await resolve(policy, name)
  const { allowed, denial } = sort(candidates, address => decideProxy(policy, proxy, address, hostAddresses))
  if (allowed.length > 0) return allowed
  if (denial !== null) throw clrkError(denial.code, denial.details)
  throw new Error('no address of a usable family')
}

export function nameOf(target: DialTarget): string {
  return 'name' in target ? target.name : target.address
}

function sort(
  candidates: readonly IpAddress[],
  decide: (address: IpAddress) => ReturnType<typeof decideUpstream>,
): { readonly allowed: readonly CheckedAddress[]; readonly denial: ClrkFault | null } {
  const allowed: CheckedAddress[] = []
  let denial: ClrkFault | null = null
  for (const address of candidates) {
    const decision = decide(address)
    if (decision.verdict === 'dial') allowed.push(decision.address)
    else denial ??= decision.fault
  }
  return { allowed, denial }
}

async function resolve(policy: Policy, name: HostName): Promise<readonly IpAddress[]> {
  const alias = resolveAlias(policy, name)
  if (alias !== null) return [alias]
  const answers = await lookup(name, { all: true, order: 'verbatim' })
  const addresses = answers.map(({ address }) => parseAddress(address)).filter(address => address !== null)
  return inTurns([...new Set(addresses)], policy.lookupFamily)
}

/**
 * The families that are wanted, in turns (RFC 8305 §4). IPv4 begins under V4Preferred, else whichever the host's
 * resolver named first (RFC 6724).
 */
export function inTurns(addresses: readonly IpAddress[], family: Policy['lookupFamily']): readonly IpAddress[] {
  const isV6 = (address: IpAddress) => address.includes(':')
  const v4 = family === 'V6Only' ? [] : addresses.filter(address => !isV6(address))
  const v6 = family === 'V4Only' ? [] : addresses.filter(isV6)
  const [first] = addresses
  const v6First = family !== 'V4Preferred' && first !== undefined && isV6(first)
  const [one, other] = v6First ? [v6, v4] : [v4, v6]
  const turns = Array.from({ length: Math.max(one.length, other.length) }, (_, at) => [one[at], other[at]])
  return turns.flat().filter(address => address !== undefined)
}
