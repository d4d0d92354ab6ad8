/** May this address be dialled? Asked for every answer of the resolver, right before connect(). */
import type { ClrkFault } from '../errors.ts'
import { addressBytes, formatAddress, isMapped } from '../resources/addresses.ts'
import { type SpecialRange, specialRange } from './addresses.ts'
import { authorityOf } from './authority.ts'
import { decideTarget } from './decide-connection.ts'
import { addressRule } from './match.ts'
import type { HostName, IpAddress, Policy, UpstreamProxy } from './policy.ts'

declare const checked: unique symbol
/** Made in this file only; `dial` accepts nothing else: the checked address is the dialled one (T16). */
export type CheckedAddress = IpAddress & { readonly [checked]: true }

export type UpstreamDecision =
  | { readonly verdict: 'dial'; readonly address: CheckedAddress }
  | { readonly verdict: 'deny'; readonly fault: ClrkFault }

/**
 * May `target` be dialled at `address`, which is one of its answers or itself? Pure: no clock, no I/O, no throw.
 * `hostAddresses`: canonical addresses of the worker host, which nothing opens (T131). An alias of the name permits its
 * address, whatever range that is in; every other special address needs `addressRule` (T14–T16, T126).
 */
export function decideUpstream(
  policy: Policy,
  target: { readonly name: HostName } | { readonly address: IpAddress },
  port: number,
  address: IpAddress,
  hostAddresses: ReadonlySet<string>,
): UpstreamDecision {
  const refusal = targetRefusal(policy, target, port)
  if (refusal !== null) return { verdict: 'deny', fault: refusal }
  const name = 'name' in target ? target.name : target.address
  const range = rangeOf(policy, name, address, hostAddresses)
  if (range === null || (!range.hard && addressRule(policy, address, port) !== null)) {
    return { verdict: 'dial', address: address as CheckedAddress }
  }
  const details = { gateway: policy.gateway, name, address, port, range: range.name }
  return { verdict: 'deny', fault: { code: 'CLRK_ADDRESS_SPECIAL', details } }
}

/**
 * May the gateway's own proxy be dialled at `address`? It is the operator's and may be in a private range; what nothing
 * opens for a host stays closed for it too.
 */
export function decideProxy(
  policy: Policy,
  { host, port }: UpstreamProxy,
  address: IpAddress,
  hostAddresses: ReadonlySet<string>,
): UpstreamDecision {
  const range = rangeOf(policy, host, address, hostAddresses)
  if (range === null || !range.hard) return { verdict: 'dial', address: address as CheckedAddress }
  const details = { gateway: policy.gateway, proxy: authorityOf(host, port), step: 'looking up its name' }
  const reason = `${address} is ${range.name}, which is never dialled`
  return { verdict: 'deny', fault: { code: 'CLRK_UPSTREAM_PROXY', details: { ...details, reason } } }
}

/**
 * Without `proxies`, the addresses of the gateway's own proxy: it would go anywhere for an agent that could ask it, so it
 * is a way and no destination, whatever a rule says (T120).
 */
export function notTheProxy(
  addresses: readonly CheckedAddress[],
  proxies: readonly CheckedAddress[],
): readonly CheckedAddress[] {
  const plain = new Set(proxies.map(plainAddress))
  return addresses.filter(address => !plain.has(plainAddress(address)))
}

/**
 * Is it an address that means something on the worker's host alone (loopback, link-local), where only an alias leads?
 * A proxy that was asked for it would dial its own.
 */
export function staysOnHost(address: CheckedAddress): boolean {
  return specialRange(address)?.hard === true
}

/** The special range that is in the way, or null. An alias permits exactly its address, but never the host's own. */
function rangeOf(
  policy: Policy,
  name: string,
  address: IpAddress,
  hostAddresses: ReadonlySet<string>,
): Pick<SpecialRange, 'name' | 'hard'> | null {
  if (hostAddresses.has(address) || hostAddresses.has(plainAddress(address))) {
    return { name: "the worker host's own", hard: true }
  }
  const aliased = policy.hostAliases.some(alias => alias.name === name && alias.address === address)
  return aliased ? null : specialRange(address)
}

/** The address that the gateway gives to this name instead of what the resolver would say, or null. */
export function resolveAlias(policy: Policy, name: HostName): IpAddress | null {
  return policy.hostAliases.find(alias => alias.name === name)?.address ?? null
}

/** A name or an address is decided once more: what is asked here is what leaves. */
function targetRefusal(
  policy: Policy,
  target: { readonly name: HostName } | { readonly address: IpAddress },
  port: number,
): ClrkFault | null {
  if ('name' in target) {
    const decision = decideTarget(policy, { kind: 'name', name: target.name }, port)
    return decision.verdict === 'deny' ? decision.fault : null
  }
  if (policy.fault !== null) return policy.fault
  const open = policy.defaultPolicy === 'allow-all' || policy.enforcement === 'audit'
  if (open || addressRule(policy, target.address, port) !== null) return null
  const details = { gateway: policy.gateway, address: target.address, port }
  return { code: 'CLRK_ADDRESS_NOT_ALLOWED', details }
}

/** The IPv4 address that a mapped one is, else the address itself. */
function plainAddress(address: IpAddress): IpAddress {
  const bytes = addressBytes(address)
  return bytes !== null && isMapped(bytes) ? formatAddress(bytes.subarray(12)) : address
}
