/** Resources → the Policy of one EgressGateway. */
import { createHash } from 'node:crypto'
import { clrkError } from '../errors.ts'
import { providerById } from '../providers/registry.ts'
import type { CredentialInjectionPolicy } from '../resources/credentials.ts'
import { type EgressGateway, PROXY_SECRETS } from '../resources/gateway.ts'
import { nameOf, ofKind, type ResourceSet } from '../resources/load.ts'
import { policiesOf, routesOf } from '../resources/references.ts'
import { parsePattern } from './names.ts'
import type {
  Credential,
  L4Rule,
  Listener,
  ListenerKind,
  Policy,
  ProviderRule,
  SecretKeyRef,
  UpstreamProxy,
} from './policy.ts'

/** `namespace/name` of every EgressGateway. */
export function gatewaysOf(resources: ResourceSet): readonly string[] {
  return ofKind(resources, 'EgressGateway').map(nameOf)
}

/**
 * The policy of `gateway` (`namespace/name`). The same resources give the same digest, in whatever order they came.
 * It names secrets and holds none: whether a value is there is found out where values are, and a missing one is a 503.
 * Throws CLRK_ARGUMENT_INVALID where there is no such gateway.
 */
export function compilePolicy(resources: ResourceSet, gateway: string, revision: number): Policy {
  const source = ofKind(resources, 'EgressGateway').find(known => nameOf(known) === gateway)
  if (source === undefined) {
    const reason = `there is no EgressGateway ${gateway}`
    throw clrkError('CLRK_ARGUMENT_INVALID', { argument: 'gateway', reason, fix: 'Define it, or name another.' })
  }
  const { spec } = source
  const bundle = spec.upstreamTLS.additionalTrustBundleSecretRef
  const content: Omit<Policy, 'gateway' | 'revision' | 'digest'> = {
    defaultPolicy: spec.defaultPolicy,
    enforcement: spec.enforcement,
    isolation: spec.isolation,
    listeners: spec.listeners.map(listenerOf),
    l4Rules: l4RulesOf(resources, source),
    providerRules: providerRulesOf(resources, source),
    hostAliases: spec.upstreamTLS.hostAliases.flatMap(({ ip, hostnames }) =>
      hostnames.map(name => ({ name, address: ip })),
    ),
    trustBundle: bundle === null ? null : `${source.metadata.namespace}/${bundle.name}`,
    upstreamProxy: upstreamProxyOf(source),
    lookupFamily: spec.dns.lookupFamily,
    requestTimeoutMs: spec.requestTimeout,
    otlp: spec.otlp,
    fault: null,
  }
  const digest = createHash('sha256').update(canonicalJson(content)).digest('hex')
  return { gateway, revision, digest, ...content }
}

/** Every Secret key of whose value a shard has need under `policy`; each may be missing, and fails closed then. */
export function secretKeysOf({ providerRules, upstreamProxy }: Policy): readonly SecretKeyRef[] {
  const secret = upstreamProxy?.secret ?? null
  return [
    ...providerRules.flatMap(({ credentials }) => credentials.map(credential => credential.secret)),
    ...(secret === null ? [] : PROXY_SECRETS.flat().map(key => ({ secret, key }))),
  ]
}

function upstreamProxyOf({ metadata, spec }: EgressGateway): UpstreamProxy | null {
  if (spec.upstreamProxy === null) return null
  const { url, secretRef } = spec.upstreamProxy
  return { ...url, secret: secretRef === null ? null : `${metadata.namespace}/${secretRef.name}` }
}

function listenerOf({ name, protocol, port, tls }: EgressGateway['spec']['listeners'][number]): Listener {
  const kinds = {
    TLS: tls?.mode === 'Terminate' ? 'tls-terminate' : 'tls-passthrough',
    HTTPS: 'tls-terminate',
    HTTP: 'http',
    TCP: 'tcp',
  } as const satisfies Record<typeof protocol, ListenerKind>
  return { name, kind: kinds[protocol], port }
}

function l4RulesOf(resources: ResourceSet, gateway: EgressGateway): readonly L4Rule[] {
  return routesOf(resources, gateway, 'EgressL4Route').flatMap(route =>
    route.spec.rules.flatMap(({ matches }, rule) =>
      matches.map(({ destinationCIDRs, destinationHostnames, ports }, match) => {
        const id = `${nameOf(route)}/${rule}/${match}`
        return { id, cidrs: destinationCIDRs, hostnames: destinationHostnames, ports }
      }),
    ),
  )
}

function providerRulesOf(resources: ResourceSet, gateway: EgressGateway): readonly ProviderRule[] {
  return routesOf(resources, gateway, 'AIProviderRoute').flatMap(route => {
    const credentials = policiesOf(resources, gateway, route).winners.map(credentialOf)
    return route.spec.rules.flatMap(({ matches }, rule) =>
      matches.map(({ provider, endpoints, models, hostnames }, match): ProviderRule => {
        const known = providerById(provider)
          .hosts.map(parsePattern)
          .filter(pattern => pattern !== null)
        return {
          id: `${nameOf(route)}/${rule}/${match}`,
          route: nameOf(route),
          provider,
          hosts: provider === 'custom' ? hostnames : known,
          endpoints,
          models,
          credentials,
          fault: null,
        }
      }),
    )
  })
}

function credentialOf(policy: CredentialInjectionPolicy): Credential {
  const { secretRef, secretKey, target, headerName } = policy.spec
  const secret = { secret: `${policy.metadata.namespace}/${secretRef.name}`, key: secretKey }
  return { policy: nameOf(policy), secret, target, headerName }
}

/** JSON whose members are in one order, whatever order they were made in. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) => {
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
