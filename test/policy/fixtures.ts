/** Policies and values for tests, made by what ships. */
import { parseAddress } from '../../src/policy/addresses.ts'
import { compilePolicy } from '../../src/policy/compile.ts'
import { canonicalName } from '../../src/policy/names.ts'
import type { HostName, IpAddress, Policy } from '../../src/policy/policy.ts'
import { load } from '../resources/fixtures.ts'

/** The policy of EgressGateway `default/test` of these manifests. */
export function policy(...texts: readonly string[]): Policy {
  return compilePolicy(load(...texts), 'default/test', 1)
}

export function host(text: string): HostName {
  const name = canonicalName(text)
  if (name === null) throw new Error(`${text} is no host name`)
  return name
}

export function ip(text: string): IpAddress {
  const address = parseAddress(text)
  if (address === null) throw new Error(`${text} is no address`)
  return address
}
