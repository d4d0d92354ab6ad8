/**
 * The Policy: the immutable result of compiling every resource that concerns one EgressGateway.
 *
 * Plain data (it crosses to the shard as JSON) and free of secrets: a credential names its Secret, the value travels
 * apart. Whatever did not resolve is a `fault` here, so that deciding fails closed and can say why.
 */
import type { ClrkFault } from '../errors.ts'

/** A canonical host name: lower-case A-labels, no trailing dot, 1–253 bytes. Made by `canonicalName` only. */
export type HostName = string & { readonly __hostName: true }

/** An IPv4 (dotted) or IPv6 (RFC 5952) address in canonical text. Made by `parseAddress` only. */
export type IpAddress = string & { readonly __ipAddress: true }

/** `exact`: that name. `wildcard`: exactly one more label in front of `suffix` (`*.example.com`). */
export type HostPattern =
  | { readonly kind: 'exact'; readonly name: HostName }
  | { readonly kind: 'wildcard'; readonly suffix: HostName }

/** A CIDR: canonical network address and prefix length in bits. */
export type Cidr = { readonly address: IpAddress; readonly prefix: number }

export type PortRange = { readonly start: number; readonly end: number }

export type L4Rule = {
  /** `namespace/route/rule index/match index`, for audit lines. */
  readonly id: string
  readonly cidrs: readonly Cidr[]
  readonly hostnames: readonly HostPattern[]
  /** Empty: every port. */
  readonly ports: readonly PortRange[]
}

export type ListenerKind = 'tls-terminate' | 'tls-passthrough' | 'http' | 'tcp'

export type Listener = {
  readonly name: string
  readonly kind: ListenerKind
  /** Null: every port. */
  readonly port: number | null
}

export type ProviderId = 'openai' | 'anthropic' | 'google' | 'azure-openai' | 'bedrock' | 'custom'

export type SecretKeyRef = {
  /** `namespace/name` */
  readonly secret: string
  readonly key: string
}

export type Credential = {
  /** `namespace/name` of the CredentialInjectionPolicy. */
  readonly policy: string
  readonly secret: SecretKeyRef
  readonly target: 'Header'
  /** Lower case. */
  readonly headerName: string
}

export type ProviderRule = {
  /** `namespace/route/rule index/match index` */
  readonly id: string
  /** `namespace/name` of the AIProviderRoute. */
  readonly route: string
  readonly provider: ProviderId
  /** Hosts of the provider (or of the match, for `custom`). */
  readonly hosts: readonly HostPattern[]
  /** Path globs, `*` does not cross `/`. Empty: every path. */
  readonly endpoints: readonly string[]
  /** Model globs. Empty: every model, and the body is not read. */
  readonly models: readonly string[]
  /** Set on every request that this rule forwards, in order. */
  readonly credentials: readonly Credential[]
  /** Why this route cannot inject although a policy is attached (missing reference, conflict): requests answer it. */
  readonly fault: ClrkFault | null
}

export type HostAlias = { readonly name: HostName; readonly address: IpAddress }

/** The operator's own HTTP proxy: whatever leaves this gateway goes through it, by CONNECT to the checked address. */
export type UpstreamProxy = {
  /** TLS to the proxy itself, verified as an origin's is. */
  readonly secure: boolean
  readonly host: HostName | IpAddress
  readonly port: number
  /** `namespace/name` of the Secret with its Basic credential (`PROXY_SECRETS`), or null. */
  readonly secret: string | null
}

export type OtlpExport = {
  /** Absolute URL without a path means `/v1/traces` and `/v1/logs`; null: no export. */
  readonly endpoint: string | null
  readonly headers: Readonly<Record<string, string>>
  /** Null: bodies are not captured. */
  readonly captureBody: { readonly maxBytes: number; readonly includeContentTypes: readonly string[] } | null
}

export type Policy = {
  /** `namespace/name` of the EgressGateway. */
  readonly gateway: string
  /** Increases with every compilation in one worker. */
  readonly revision: number
  /** SHA-256, hex, of everything below. */
  readonly digest: string
  readonly defaultPolicy: 'deny-all' | 'allow-all'
  readonly enforcement: 'enforce' | 'audit'
  readonly isolation: 'shared' | 'process'
  readonly listeners: readonly Listener[]
  readonly l4Rules: readonly L4Rule[]
  readonly providerRules: readonly ProviderRule[]
  readonly hostAliases: readonly HostAlias[]
  /** The Secret whose keys are PEM bundles trusted beside the host's roots, or null. */
  readonly trustBundle: string | null
  /** Null: addresses are dialled from the worker's host. */
  readonly upstreamProxy: UpstreamProxy | null
  readonly lookupFamily: 'V4Preferred' | 'V4Only' | 'V6Only' | 'Auto' | 'All'
  readonly requestTimeoutMs: number
  readonly otlp: OtlpExport
  /** Something without which nothing may leave (a trust bundle that does not resolve, …), or null. */
  readonly fault: ClrkFault | null
}
