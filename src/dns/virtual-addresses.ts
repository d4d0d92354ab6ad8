/**
 * The virtual addresses of one sandbox: name number n ↔ 198.18.1.0 + n and fd00:5a::1:0 + n.
 *
 * Numbers are given in order and never reused while the sandbox lives, and a number is journalled before anybody
 * learns of it, so that a restarted shard knows every address that was ever answered. 198.18.0.0/15 is reserved for
 * benchmarking (RFC 2544) and fd00::/8 is local (RFC 4193): neither is a public host.
 */
import { LIMITS } from '../limits.ts'
import type { HostName } from '../policy/policy.ts'

export type VirtualAddress = { readonly ipv4: string; readonly ipv6: string }

/** What every refused name gets: whoever connects there with TLS or HTTP reads why. */
export const EXPLAINING_ADDRESS: VirtualAddress = { ipv4: '198.18.0.2', ipv6: 'fd00:5a::2' }

export type NameTable = {
  /** The address of `name`, allocated if it has none yet; null past LIMITS.namesPerSandbox or if the journal failed. */
  readonly addressOf: (name: HostName) => Promise<VirtualAddress | null>
  /** Which name an original destination stands for; `explaining`, or null for any other address. */
  readonly nameAt: (address: string) => HostName | 'explaining' | null
}

/**
 * `known`: names in the order in which they were allocated. `journal` resolves once (index, name) is kept, and
 * rejects if it cannot be.
 */
export function createNameTable(
  known: readonly HostName[],
  journal: (index: number, name: HostName) => Promise<void>,
): NameTable {
  const names: HostName[] = []
  const settled = new Map<HostName, VirtualAddress>()
  const pending = new Map<HostName, Promise<VirtualAddress | null>>()
  const byAddress = new Map<string, HostName | 'explaining'>([
    [EXPLAINING_ADDRESS.ipv4, 'explaining'],
    [expand(EXPLAINING_ADDRESS.ipv6), 'explaining'],
  ])

  function settle(index: number, name: HostName): VirtualAddress {
    const address = virtualAddress(index)
    settled.set(name, address)
    byAddress.set(address.ipv4, name)
    byAddress.set(expand(address.ipv6), name)
    return address
  }

  async function allocate(name: HostName): Promise<VirtualAddress | null> {
    const index = names.length
    names.push(name)
    try {
      await journal(index, name)
      return settle(index, name)
    } catch {
      return null // the number stays spent: it must never come to mean another name
    } finally {
      pending.delete(name)
    }
  }

  known.forEach((name, index) => {
    names.push(name)
    settle(index, name)
  })

  return {
    addressOf: async name => {
      const address = settled.get(name)
      if (address !== undefined) return address
      const waiting = pending.get(name)
      if (waiting !== undefined) return waiting
      if (names.length >= LIMITS.namesPerSandbox) return null
      const allocated = allocate(name)
      pending.set(name, allocated)
      return allocated
    },
    nameAt: address => byAddress.get(address.includes(':') ? expand(address) : address) ?? null,
  }
}

/** The pair of addresses that number `index` stands for. */
export function virtualAddress(index: number): VirtualAddress {
  const offset = 256 + index
  return {
    ipv4: `198.${18 + (offset >> 16)}.${(offset >> 8) & 255}.${offset & 255}`,
    ipv6: `fd00:5a::1:${index.toString(16)}`,
  }
}

/** All eight groups without leading zeros: one spelling for `originalDestination` and for RFC 5952 text. */
function expand(address: string): string {
  const [head = '', tail] = address.split('::')
  if (tail === undefined) return address
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  return [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right].join(':')
}
