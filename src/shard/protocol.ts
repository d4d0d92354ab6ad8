/**
 * The messages between the worker and a shard: the only file that both sides import.
 *
 * They travel as JSON over the child's IPC channel. Descriptors travel apart, as SCM_RIGHTS on a SEQPACKET socket pair
 * whose shard end is descriptor 3: one packet per `attach`, sent before the message, its payload the sandbox's id.
 * A shard exits when the channel closes (T134).
 */
import type { ClrkFault } from '../errors.ts'
import type { Policy } from '../policy/policy.ts'

/** Who a sandbox is, for audit lines and spans. No secret, nothing that the agent said. */
export type SandboxIdentity = {
  readonly id: string
  readonly agentKind: 'TaskAgent' | 'DaemonAgent' | 'Run'
  readonly agentNamespace: string
  readonly agentName: string
  readonly runtime: 'local' | 'docker' | 'kubernetes'
}

/** The order of the descriptors in an `attach` packet. */
export const ATTACH_DESCRIPTORS = ['tcp', 'dnsTcp', 'dnsUdp4', 'dnsUdp6'] as const

/** `namespace/name/key` → value as latin1. Only ever in memory, only for gateways whose sandboxes this shard hosts. */
export type SecretValues = Readonly<Record<string, string>>

/** A leaf certificate (PEM) and its end, milliseconds since 1970. */
export type SignedLeaf = { readonly certificate: string; readonly notAfter: number }

export type GatewayState = {
  readonly policy: Policy
  readonly secrets: SecretValues
  /** PEM of the gateway's CA certificate (never its key). */
  readonly authority: string
  /** PEM trusted beside the host's roots, from `upstreamTLS`. */
  readonly additionalRoots: string
}

export type ToShard =
  | {
      readonly type: 'start'
      readonly shard: number
      /** PEM bundle: the host's roots. */
      readonly roots: string
    }
  /** New or changed: replaces what was known of this gateway, from the next decision on. */
  | { readonly type: 'gateway'; readonly gateway: string; readonly state: GatewayState }
  | { readonly type: 'forget-gateway'; readonly gateway: string }
  | {
      readonly type: 'attach'
      readonly sandbox: SandboxIdentity
      readonly gateway: string
      /** Names in the order in which they were allocated (index 0 first): a restart knows them. */
      readonly names: readonly string[]
    }
  | { readonly type: 'detach'; readonly sandbox: string }
  /** `leaf`: null where none was signed. */
  | { readonly type: 'signed'; readonly leaves: readonly { request: number; leaf: SignedLeaf | null }[] }
  | { readonly type: 'journalled'; readonly sandbox: string; readonly index: number }
  /** Send telemetry to the worker as well (somebody watches). */
  | { readonly type: 'watch'; readonly on: boolean }

export type ToWorker =
  /** The shard is up; `leafKey` is the public key (SPKI DER, base64) that its leaves certify. */
  | { readonly type: 'ready'; readonly pid: number; readonly leafKey: string }
  | { readonly type: 'attached'; readonly sandbox: string }
  | { readonly type: 'attach-failed'; readonly sandbox: string; readonly reason: string }
  | { readonly type: 'detached'; readonly sandbox: string; readonly counters: SandboxCounters }
  /** Certify each `name` under the CA of its `gateway`. */
  | { readonly type: 'sign'; readonly wanted: readonly { request: number; gateway: string; name: string }[] }
  /** `name` got the virtual address number `index`; answered by `journalled` once it is kept. */
  | { readonly type: 'journal'; readonly sandbox: string; readonly index: number; readonly name: string }
  | { readonly type: 'audit'; readonly line: AuditLine }
  /** One OTLP/JSON export request body. */
  | { readonly type: 'telemetry'; readonly signal: 'traces' | 'logs'; readonly payload: string }
  | { readonly type: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string }

export type SandboxCounters = {
  readonly connections: number
  readonly requests: number
  readonly injected: number
  readonly denied: number
  readonly recorded: number
}

/** One line of the audit log: a decision against the agent (or what would have been one, under `enforcement: audit`). */
export type AuditLine = {
  /** RFC 3339, milliseconds. */
  readonly time: string
  readonly sandbox: string
  readonly agent: string
  readonly gateway: string
  readonly action: 'denied' | 'would-deny' | 'stripped' | 'replaced' | 'failed'
  readonly protocol: 'dns' | 'tcp' | 'tls' | 'http'
  readonly name: string | null
  readonly address: string | null
  readonly port: number | null
  readonly fault: ClrkFault
  /** The sentence of the fault, for readers. */
  readonly why: string
}
