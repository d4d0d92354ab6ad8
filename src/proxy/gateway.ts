/** What a shard holds of one EgressGateway: policy, secret values, trust, upstream pool, telemetry. */
import type { SecureContext } from 'node:tls'
import { clrkError } from '../errors.ts'
import type { Policy } from '../policy/policy.ts'
import { type SecretValue, secretValue } from '../secrets/value.ts'
import type { GatewayState } from '../shard/protocol.ts'
import { createExporter, type Exporter } from '../telemetry/export.ts'
import { egressResource } from '../telemetry/record.ts'
import { createRedactor, type Redactor } from '../telemetry/redact.ts'
import { type DialContext, upstreamTrust } from '../upstream/dial.ts'
import type { Http2Pool } from '../upstream/http2-pool.ts'
import { createPool, type UpstreamPool } from '../upstream/pool.ts'
import { proxyAuthorization } from '../upstream/proxy-credential.ts'

export type ProxyGateway = {
  /** The worker's key of this gateway; the resource's name is `policy().gateway`. */
  readonly id: string
  readonly policy: () => Policy
  /** Another number after every `update`: what was worked out from policy or secrets of another one holds no more. */
  readonly version: () => number
  /** `namespace/name/key` */
  readonly secretOf: (name: string) => SecretValue | undefined
  /** `text` without any secret of this gateway. */
  readonly redact: (text: string) => string
  readonly dialContext: () => DialContext
  readonly pool: UpstreamPool
  /** For agents that speak HTTP/2: few do, so it is loaded for the first. */
  readonly http2: () => Promise<Http2Pool>
  readonly exporter: () => Exporter
  /** Replaces policy and secrets from the next decision on; idle upstream connections of another policy are dropped. */
  readonly update: (state: GatewayState) => void
  readonly watch: (on: boolean) => void
  /** Drops its connections; resolves when its telemetry was sent. */
  readonly close: () => Promise<void>
}

export type GatewayEnvironment = {
  /** PEM bundle of the host's roots. */
  readonly roots: string
  readonly hostAddresses: () => ReadonlySet<string>
  /** Gets every encoded export body while somebody watches. */
  readonly tee: (signal: 'traces' | 'logs', payload: string) => void
  readonly warn: (message: string) => void
}

/** Throws where OpenSSL refuses the trust bundle. */
export function createGateway(id: string, initial: GatewayState, environment: GatewayEnvironment): ProxyGateway {
  let state = initial
  let secrets = secretValues(state)
  let redactor = redactorOf(secrets)
  let trust = trustOf(state, environment)
  let former: readonly string[] = []
  let watched = false
  let version = 0
  let exporter = exporterOf()
  const secretOf = (name: string) => secrets.get(name)
  const dialContext = (): DialContext => {
    return { policy: state.policy, trust, hostAddresses: environment.hostAddresses(), secretOf }
  }
  const pool = createPool(dialContext)
  let http2: Http2Pool | null = null
  let closed = false

  function exporterOf(): Exporter {
    const { gateway, otlp } = state.policy
    const made = createExporter({
      endpoint: otlp.endpoint,
      headers: otlp.headers,
      resource: egressResource(gateway),
      onFailure: reason => environment.warn(`EgressGateway ${gateway}: ${reason}`),
    })
    if (former.length > 0) made.setSecretValues(former) // an exchange may have begun under them
    made.setSecretValues(revealed(secrets))
    made.setTee(watched ? environment.tee : null)
    return made
  }

  return {
    id,
    policy: () => state.policy,
    version: () => version,
    secretOf,
    redact: text => redactor.text(text),
    dialContext,
    pool,
    http2: async () => {
      const { createHttp2Pool } = await import('../upstream/http2-pool.ts')
      if (closed) throw clrkError('CLRK_INTERNAL', { reason: `EgressGateway ${id} is gone` })
      http2 ??= createHttp2Pool(dialContext, pool)
      return http2
    },
    exporter: () => exporter,
    update: next => {
      const nextTrust = next.additionalRoots === state.additionalRoots ? trust : trustOf(next, environment)
      const previous = state.policy
      const formerTrust = trust
      const formerProxy = proxyStanding(previous, secretOf)
      state = next
      version += 1
      trust = nextTrust
      former = [...former, ...revealed(secrets)].slice(-FORMER_VALUES)
      secrets = secretValues(next)
      redactor = redactorOf(secrets)
      exporter.setSecretValues(revealed(secrets))
      const samePolicy = next.policy.digest === previous.digest
      if (samePolicy && nextTrust === formerTrust && proxyStanding(previous, secretOf) === formerProxy) return
      pool.clear()
      http2?.clear()
      if (samePolicy) return
      exporter.close().catch(() => {}) // what it could not send it has reported
      exporter = exporterOf()
    },
    watch: on => {
      watched = on
      exporter.setTee(on ? environment.tee : null)
    },
    close: () => {
      closed = true
      pool.close()
      http2?.close()
      return exporter.close()
    },
  }
}

function secretValues({ secrets }: GatewayState): ReadonlyMap<string, SecretValue> {
  return new Map(Object.entries(secrets).map(([name, value]) => [name, secretValue(name, value)]))
}

function revealed(secrets: ReadonlyMap<string, SecretValue>): readonly string[] {
  return [...secrets.values()].map(value => value.reveal())
}

function redactorOf(secrets: ReadonlyMap<string, SecretValue>): Redactor {
  return createRedactor(revealed(secrets))
}

function trustOf({ additionalRoots }: GatewayState, { roots }: GatewayEnvironment): SecureContext {
  return upstreamTrust(`${roots}\n${additionalRoots}`)
}

/** What idle connections through a proxy rest on: they do not outlive its credential. */
function proxyStanding({ upstreamProxy }: Policy, secretOf: ProxyGateway['secretOf']): string | null {
  try {
    return upstreamProxy === null ? null : proxyAuthorization(upstreamProxy, secretOf)
  } catch {
    return 'missing' // each dial says so
  }
}

/** Values that were replaced and are still redacted. */
const FORMER_VALUES = 64
