/** Which rules of a policy concern a name, an address, a port: what every decision starts from. */
import { providerById } from '../providers/registry.ts'
import { cidrContains, cidrWithin, specialRange } from './addresses.ts'
import { matchesPattern } from './names.ts'
import type { HostName, IpAddress, L4Rule, Policy, PortRange, ProviderRule } from './policy.ts'

/** The one port on which a provider is spoken to, and on which a credential is set. */
export const PROVIDER_PORT = 443

export function coversPort(ports: readonly PortRange[], port: number): boolean {
  return ports.length === 0 || ports.some(({ start, end }) => start <= port && port <= end)
}

/** The first L4 rule that names the host, on this port. */
export function hostRule(policy: Policy, name: HostName, port: number): L4Rule | null {
  return policy.l4Rules.find(rule => coversPort(rule.ports, port) && namedBy(rule, name)) ?? null
}

/**
 * The first CIDR rule that opens this address on this port. A special range is opened only by a prefix wholly inside
 * it, loopback, link-local and metadata by none: `0.0.0.0/0` is the public internet and no more (T126).
 */
export function addressRule(policy: Policy, address: IpAddress, port: number): L4Rule | null {
  const range = specialRange(address)
  if (range?.hard === true) return null
  const opens = ({ cidrs }: L4Rule) =>
    cidrs.some(cidr => cidrContains(cidr, address) && (range === null || cidrWithin(cidr, range.cidr)))
  return policy.l4Rules.find(rule => coversPort(rule.ports, port) && opens(rule)) ?? null
}

/** Is `name` a host of this rule's provider? The provider knows more hosts than it can list. */
export function coversHost({ provider, hosts }: ProviderRule, name: HostName): boolean {
  return hosts.some(pattern => matchesPattern(pattern, name)) || providerById(provider).matchesHost(name)
}

/** The rules that name a provider of this host, in order. */
export function providerRules(policy: Policy, name: HostName): readonly ProviderRule[] {
  return policy.providerRules.filter(rule => coversHost(rule, name))
}

/** Does any rule name the host, on whatever port? */
export function namesHost(policy: Policy, name: HostName): boolean {
  return policy.l4Rules.some(rule => namedBy(rule, name)) || policy.providerRules.some(rule => coversHost(rule, name))
}

function namedBy({ hostnames }: L4Rule, name: HostName): boolean {
  return hostnames.some(pattern => matchesPattern(pattern, name))
}
