/** What the parts of one sandbox's proxy know in common. Types only. */
import type { NameTable } from '../dns/virtual-addresses.ts'
import type { HostName } from '../policy/policy.ts'
import type { SandboxCounters, SandboxIdentity } from '../shard/protocol.ts'
import type { LeafCache } from '../tls/terminate.ts'
import type { Audit } from './audit.ts'
import type { ProxyGateway } from './gateway.ts'
import type { TokenBucket } from './token-bucket.ts'

/** What the handling of one connection needs to know of its sandbox. */
export type SandboxContext = {
  readonly identity: SandboxIdentity
  readonly gateway: ProxyGateway
  readonly names: NameTable
  readonly leaves: LeafCache
  readonly audit: Audit
  readonly counters: { -readonly [K in keyof SandboxCounters]: SandboxCounters[K] }
  readonly mint: { readonly allowed: TokenBucket; readonly denied: TokenBucket }
}

/** What a connection is for: every request on it must be for the same (T06). */
export type Authority = { readonly scheme: 'http' | 'https'; readonly name: HostName; readonly port: number }
