/** One finished exchange, as the proxy hands it to telemetry. Types only. */
import type { ClrkFault } from '../errors.ts'
import type { ProviderId } from '../policy/policy.ts'
import type { SandboxIdentity } from '../shard/protocol.ts'

/** What the exchanges of one connection under one rule have in common: the same object for all of them. */
export type Subject = {
  /** `namespace/name` of the EgressGateway. */
  readonly gateway: string
  readonly sandbox: SandboxIdentity
  readonly scheme: 'http' | 'https'
  readonly name: string
  readonly port: number
  readonly provider: ProviderId | null
  /** `ProviderRule.id` or `L4Rule.id`. */
  readonly rule: string | null
  /** `namespace/name` of the AIProviderRoute. */
  readonly route: string | null
}

/** What was seen of one request and its answer. Nothing in it is redacted yet. */
export type Exchange = {
  readonly subject: Subject
  /** Milliseconds since 1970, with a fraction. */
  readonly startMs: number
  readonly endMs: number
  readonly method: string
  /** Path and query as received. */
  readonly target: string
  /** 0: there was no answer. */
  readonly status: number
  readonly error: ClrkFault | null
  /** latin1 lines, `Name: value`, CRLF between them: as received, before injection. */
  readonly requestHead: string
  /** Names of the headers that the policy set. */
  readonly injected: readonly string[]
  readonly responseHead: string
  /** Content without chunked framing, as `createBodyTap` keeps it. */
  readonly requestBody: readonly Buffer[]
  readonly requestBodyBytes: number
  readonly responseBody: readonly Buffer[]
  readonly responseBodyBytes: number
  readonly requestTruncated: boolean
  readonly responseTruncated: boolean
  readonly responseChunks: number
  /** `TappedBody.usageEvents` of the response. */
  readonly usageEvents: readonly string[]
  /** The agent's header (W3C Trace Context), valid or not. */
  readonly traceparent: string | null
}
