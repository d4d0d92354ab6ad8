/** What clrk knows of one AI provider. One file a provider, pure data and pure functions; `registry.ts` lists them. */
import type { ProviderId } from '../policy/policy.ts'

/** Tokens that a response says it used; null where it does not say. */
export type Usage = {
  readonly inputTokens: number | null
  readonly outputTokens: number | null
  readonly model: string | null
}

export type Provider = {
  /** As resources spell it. */
  readonly id: ProviderId
  /** `gen_ai.system` of the OpenTelemetry conventions. */
  readonly genAiSystem: string
  /** Is this canonical host name one of the provider's? */
  readonly matchesHost: (name: string) => boolean
  /** As `HostPattern` texts (`api.anthropic.com`, `*.openai.azure.com`), for DNS and documentation. */
  readonly hosts: readonly string[]
  /** Every header that carries a credential of this provider, lower case. The agent's are removed before injection. */
  readonly authHeaders: readonly string[]
  /** Every query parameter that does. */
  readonly authQueryParams: readonly string[]
  /** Environment variables in which the provider's clients look for a key; filled with the placeholder. */
  readonly environment: readonly string[]
  /** `gen_ai.operation.name` for a path without its query, or null. */
  readonly operation: (path: string) => string | null
  /** The model that a path without its query names (decoded), or null. Never throws. */
  readonly modelOfPath: (path: string) => string | null
  /** Where the path names none: does the API read it from `model` of a JSON body? */
  readonly modelInBody: (path: string) => boolean
  /** Usage from a complete JSON body, or from the data of SSE events in order. Never throws; null where there is none. */
  readonly usageOfBody: (body: string) => Usage | null
  readonly usageOfEvents: (events: readonly string[]) => Usage | null
}

/** The value that an agent holds where a key would be. */
export const PLACEHOLDER = 'clrk-injected-by-proxy'
