/** What the responder answers for a name: a virtual address, the explaining address, or NXDOMAIN. */
import { namesHost } from './match.ts'
import { isPublicHostShape } from './names.ts'
import type { HostName, Policy } from './policy.ts'

/**
 * `virtual`: some port of it is allowed. `explain`: it is not, and whoever connects is told. `unknown`: NXDOMAIN, for
 * what cannot be a public host and that no rule and no alias names. Pure: nothing is looked up.
 */
export function decideName(policy: Policy, name: HostName): 'virtual' | 'explain' | 'unknown' {
  if (namesHost(policy, name)) return 'virtual'
  const known = isPublicHostShape(name) || policy.hostAliases.some(alias => alias.name === name)
  if (!known) return 'unknown'
  return policy.defaultPolicy === 'allow-all' || policy.enforcement === 'audit' ? 'virtual' : 'explain'
}
