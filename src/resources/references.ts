/** Who points where: which routes a gateway has, which policies a route has, and what to tell about the rest. */
import type { DaemonAgent, TaskAgent } from './agents.ts'
import type { CredentialInjectionPolicy } from './credentials.ts'
import { type EgressGateway, PROXY_SECRETS } from './gateway.ts'
import { nameOf, ofKind, type Resource, type ResourceSet } from './load.ts'
import type { AIProviderRoute, EgressL4Route } from './routes.ts'
import { GROUP, type ParentReference } from './schema.ts'

/** As in Kubernetes: `reason` is one word, `message` one sentence. */
export type Condition = {
  readonly type: 'Accepted' | 'ResolvedRefs' | 'Conflicted'
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}

export type ResourceStatus = {
  readonly kind: Resource['kind']
  /** `namespace/name` */
  readonly name: string
  /** What these conditions are about, `Kind namespace/name`; null: the object itself. */
  readonly parent: string | null
  readonly conditions: readonly Condition[]
}

/** Has Secret `namespace/name` this key? Values may also come from outside the resources (`--secret`, `secret set`). */
export type SecretLookup = (secret: string, key: string) => boolean

type Route = EgressL4Route | AIProviderRoute

/** The routes of one kind that point at `gateway`, from any namespace: older first, then by `namespace/name`. */
export function routesOf<K extends Route['kind']>(
  resources: ResourceSet,
  gateway: EgressGateway,
  kind: K,
): readonly Extract<Resource, { kind: K }>[] {
  const routes: readonly Extract<Resource, { kind: K }>[] = ofKind(resources, kind)
  return routes
    .filter(route => (route as Route).spec.parentRefs.some(parent => pointsAt(parent, route, gateway)))
    .toSorted(olderFirst)
}

/**
 * The policies that put a credential on requests of `route` through `gateway`, in order, and those that lost.
 *
 * A policy acts in its own namespace only. One that is attached to a gateway covers the routes of the gateway's own
 * namespace: else a route from elsewhere could name a host of its author's and be sent the gateway's credential (T98).
 * Of two that set the same header the one on the route wins, then the older, then the name.
 */
export function policiesOf(
  resources: ResourceSet,
  gateway: EgressGateway,
  route: AIProviderRoute,
): {
  winners: readonly CredentialInjectionPolicy[]
  losers: readonly { policy: CredentialInjectionPolicy; winner: CredentialInjectionPolicy }[]
} {
  const all = ofKind(resources, 'CredentialInjectionPolicy').toSorted(olderFirst)
  const on = (target: EgressGateway | AIProviderRoute) =>
    all.filter(policy => targetsOf(policy).some(reference => targets(policy, reference, target)))
  const onRoute = on(route)
  const sameNamespace = gateway.metadata.namespace === route.metadata.namespace
  const onGateway = sameNamespace ? on(gateway).filter(policy => !onRoute.includes(policy)) : []
  const byHeader = new Map<string, CredentialInjectionPolicy>()
  const losers: { policy: CredentialInjectionPolicy; winner: CredentialInjectionPolicy }[] = []
  for (const policy of [...onRoute, ...onGateway]) {
    const winner = byHeader.get(policy.spec.headerName)
    if (winner === undefined) byHeader.set(policy.spec.headerName, policy)
    else losers.push({ policy, winner })
  }
  return { winners: [...byHeader.values()], losers }
}

/** `namespace/name` of the gateway that an agent uses, whether it exists or not; null: the agent has no network. */
export function gatewayOf(agent: TaskAgent | DaemonAgent): string | null {
  const reference = agent.spec.egressRefs[0]?.gatewayRef
  return reference === undefined ? null : `${reference.namespace ?? agent.metadata.namespace}/${reference.name}`
}

/** What a policy is attached to, in either spelling. */
export function targetsOf({ spec }: CredentialInjectionPolicy): readonly ParentReference[] {
  return [...spec.parentRefs, ...spec.targetRefs]
}

/** The conditions of everything that points somewhere. Secrets are looked for where `secretExists` says. */
export function statusOf(
  resources: ResourceSet,
  secretExists: SecretLookup = secretsIn(resources),
): readonly ResourceStatus[] {
  return resources.flatMap(resource => statusesOf(resources, resource, secretExists))
}

/** One sentence for each reference that does not resolve and each policy that lost a conflict. */
export function warningsOf(resources: ResourceSet, secretExists?: SecretLookup): readonly string[] {
  return statusOf(resources, secretExists).flatMap(({ kind, name, conditions }) =>
    conditions.filter(isBad).map(({ reason, message }) => `${kind} ${name}: ${reason}: ${message}`),
  )
}

/** Looks a key up among the Secrets of `resources`. */
function secretsIn(resources: ResourceSet): SecretLookup {
  const keys = new Map(ofKind(resources, 'Secret').map(secret => [nameOf(secret), secret.keys]))
  return (secret, key) => keys.get(secret)?.includes(key) ?? false
}

function statusesOf(resources: ResourceSet, resource: Resource, secretExists: SecretLookup): readonly ResourceStatus[] {
  switch (resource.kind) {
    case 'Secret':
      return []
    case 'EgressGateway':
      return [gatewayStatus(resources, resource, secretExists)]
    case 'EgressL4Route':
    case 'AIProviderRoute':
      return resource.spec.parentRefs.map(parent => routeStatus(resources, resource, parent))
    case 'CredentialInjectionPolicy':
      return targetsOf(resource).map(target => policyStatus(resources, resource, target, secretExists))
    case 'TaskAgent':
    case 'DaemonAgent':
      return gatewayOf(resource) === null ? [] : [agentStatus(resources, resource)]
  }
}

function isBad({ type, status }: Condition): boolean {
  return type === 'Conflicted' ? status === 'True' : status === 'False'
}

function condition(type: Condition['type'], good: boolean, reason: string, message: string): Condition {
  return { type, status: good ? 'True' : 'False', reason, message }
}

function olderFirst(a: Resource, b: Resource): number {
  const age = (resource: Resource) => resource.metadata.createdMs ?? Number.MAX_SAFE_INTEGER
  return age(a) - age(b) || (nameOf(a) < nameOf(b) ? -1 : 1)
}

function pointsAt({ group, kind, name, namespace }: ParentReference, from: Resource, to: Resource): boolean {
  return (
    group === GROUP &&
    kind === to.kind &&
    name === to.metadata.name &&
    (namespace ?? from.metadata.namespace) === to.metadata.namespace
  )
}

function targets(policy: CredentialInjectionPolicy, reference: ParentReference, to: Resource): boolean {
  return pointsAt(reference, policy, to) && policy.metadata.namespace === to.metadata.namespace
}

function placeOf({ kind, name, namespace }: ParentReference, from: Resource): string {
  return `${kind} ${namespace ?? from.metadata.namespace}/${name}`
}

function gatewayStatus(resources: ResourceSet, gateway: EgressGateway, secretExists: SecretLookup): ResourceStatus {
  const { metadata, spec } = gateway
  const qualified = (reference: { readonly name: string } | null) =>
    reference === null ? null : `${metadata.namespace}/${reference.name}`
  const bundle = qualified(spec.upstreamTLS.additionalTrustBundleSecretRef)
  const proxy = qualified(spec.upstreamProxy?.secretRef ?? null)
  const missing =
    bundle !== null && !ofKind(resources, 'Secret').some(known => nameOf(known) === bundle)
      ? `No resource is Secret ${bundle}; until it is set, nothing leaves.`
      : proxy !== null && !PROXY_SECRETS.some(keys => keys.every(key => secretExists(proxy, key)))
        ? `There is no Secret ${proxy} with keys username and password, or token; until there is, nothing leaves.`
        : null
  const resolved = condition(
    'ResolvedRefs',
    missing === null,
    missing === null ? 'ResolvedRefs' : 'SecretNotFound',
    missing ?? 'Every reference resolves.',
  )
  const accepted = condition('Accepted', true, 'Accepted', 'The gateway is valid.')
  return { kind: gateway.kind, name: nameOf(gateway), parent: null, conditions: [accepted, resolved] }
}

function routeStatus(resources: ResourceSet, route: Route, parent: ParentReference): ResourceStatus {
  const place = placeOf(parent, route)
  const valid = parent.group === GROUP && parent.kind === 'EgressGateway'
  const found = ofKind(resources, 'EgressGateway').some(gateway => pointsAt(parent, route, gateway))
  const conditions = [
    found
      ? condition('Accepted', true, 'Accepted', `The route is part of ${place}.`)
      : condition('Accepted', false, 'NoMatchingParent', `There is no ${place}; the route allows nothing.`),
    valid
      ? condition('ResolvedRefs', true, 'ResolvedRefs', 'Every reference resolves.')
      : condition(
          'ResolvedRefs',
          false,
          'InvalidKind',
          `A route points at an EgressGateway of ${GROUP}, not at ${place}.`,
        ),
  ]
  return { kind: route.kind, name: nameOf(route), parent: place, conditions }
}

function policyStatus(
  resources: ResourceSet,
  policy: CredentialInjectionPolicy,
  target: ParentReference,
  secretExists: SecretLookup,
): ResourceStatus {
  const place = placeOf(target, policy)
  const secret = `${policy.metadata.namespace}/${policy.spec.secretRef.name}`
  const conditions = [
    policyAccepted(resources, policy, target, place),
    secretExists(secret, policy.spec.secretKey)
      ? condition('ResolvedRefs', true, 'ResolvedRefs', 'Every reference resolves.')
      : condition(
          'ResolvedRefs',
          false,
          'SecretNotFound',
          `There is no Secret ${secret} with key ${policy.spec.secretKey}; requests are answered 503 until there is.`,
        ),
    policyConflicted(resources, policy, target),
  ]
  return { kind: policy.kind, name: nameOf(policy), parent: place, conditions }
}

function policyAccepted(
  resources: ResourceSet,
  policy: CredentialInjectionPolicy,
  target: ParentReference,
  place: string,
): Condition {
  if (target.group !== GROUP || !['AIProviderRoute', 'EgressGateway'].includes(target.kind)) {
    const message = `A policy attaches to an AIProviderRoute or an EgressGateway of ${GROUP}, not to ${place}.`
    return condition('Accepted', false, 'Invalid', message)
  }
  if (target.namespace !== null && target.namespace !== policy.metadata.namespace) {
    return condition(
      'Accepted',
      false,
      'RefNotPermitted',
      `${place} is in another namespace; the policy does nothing there.`,
    )
  }
  return resources.some(resource => targets(policy, target, resource))
    ? condition('Accepted', true, 'Accepted', `The policy is attached to ${place}.`)
    : condition('Accepted', false, 'TargetNotFound', `There is no ${place}; the policy does nothing there.`)
}

function policyConflicted(
  resources: ResourceSet,
  policy: CredentialInjectionPolicy,
  target: ParentReference,
): Condition {
  for (const gateway of ofKind(resources, 'EgressGateway')) {
    for (const route of routesOf(resources, gateway, 'AIProviderRoute')) {
      if (!targets(policy, target, gateway) && !targets(policy, target, route)) continue
      const lost = policiesOf(resources, gateway, route).losers.find(loser => loser.policy === policy)
      if (lost === undefined) continue
      const message = `${nameOf(lost.winner)} sets ${policy.spec.headerName} on ${nameOf(route)} instead.`
      return condition('Conflicted', true, 'Conflicted', message)
    }
  }
  return condition('Conflicted', false, 'NoConflict', 'No other policy sets the same header there.')
}

function agentStatus(resources: ResourceSet, agent: TaskAgent | DaemonAgent): ResourceStatus {
  const name = gatewayOf(agent)
  const found = ofKind(resources, 'EgressGateway').some(gateway => nameOf(gateway) === name)
  const parent = `EgressGateway ${name}`
  const resolved = found
    ? condition('ResolvedRefs', true, 'ResolvedRefs', 'Every reference resolves.')
    : condition('ResolvedRefs', false, 'GatewayNotFound', `There is no ${parent}; the agent is not started.`)
  return { kind: agent.kind, name: nameOf(agent), parent, conditions: [resolved] }
}
