/**
 * Resources, policies and secrets of one worker. The worker's own scope holds what was applied; each run with manifests
 * of its own has a scope of its own, so that two runs may call their gateways alike.
 *
 * A gateway is known to the shards by its key: `namespace/name` in the worker's scope, `scope:namespace/name` in a run's.
 */
import { createHash } from 'node:crypto'
import { clrkError } from '../errors.ts'
import { type Authority, loadOrCreateAuthority } from '../pki/authority.ts'
import { leafEnd, mintLeaf } from '../pki/leaf.ts'
import { compilePolicy, gatewaysOf, secretKeysOf } from '../policy/compile.ts'
import type { HostAlias, Policy } from '../policy/policy.ts'
import { loadResources, nameOf, ofKind, type ResourceSet } from '../resources/load.ts'
import { warningsOf } from '../resources/references.ts'
import type { GatewayState, SignedLeaf } from '../shard/protocol.ts'
import { loadSecrets, type SecretData, saveSecret } from '../store/secrets.ts'
import { adHocManifest } from './ad-hoc.ts'
import type { ApplyRequest, ResourceFile, RunRequest, SecretInput } from './control.ts'
import { trustBundleOf } from './trust-bundle.ts'

export type GatewayHandle = {
  /** What shards call it. */
  readonly key: string
  /** `namespace/name` */
  readonly name: string
  readonly policy: () => Policy
  readonly authority: Authority
  /** Forgets the scope of a run; nothing for the worker's own. */
  readonly close: () => void
}

export type Gateways = {
  /** Replaces the worker's own scope. Throws CLRK_RESOURCE_INVALID and changes nothing then. */
  readonly apply: (request: Pick<ApplyRequest, 'files' | 'secrets' | 'mockProvider'>) => readonly string[]
  readonly resources: () => ResourceSet
  /** A gateway of the worker's own scope. Throws CLRK_ARGUMENT_INVALID where there is none of that name. */
  readonly find: (name: string) => GatewayHandle
  /** The gateway of a run: its own manifests, an ad-hoc deny-all, or one of the worker's. */
  readonly forRun: (scope: string, request: Extract<RunRequest['what'], { kind: 'command' }>) => GatewayHandle
  /** A deny-all gateway for an agent without egressRefs. */
  readonly closed: (scope: string) => GatewayHandle
  readonly state: (key: string) => GatewayState | null
  readonly sign: (key: string, name: string, publicKey: Buffer) => SignedLeaf
  readonly setSecret: (secret: SecretInput) => readonly string[]
}

type Scope = {
  resources: ResourceSet
  policies: Map<string, Policy>
  /** From `--secret` and, until a newer value comes, from manifests: `namespace/name` → key → latin1. */
  memory: Map<string, Map<string, string>>
  mock: ApplyRequest['mockProvider']
}

const OWN = ''

/** `changed` hears the key of every gateway whose policy or secrets are new. */
export function createGateways(
  directories: { readonly authorities: string; readonly secrets: string },
  changed: (key: string) => void,
): Gateways {
  const scopes = new Map<string, Scope>([[OWN, emptyScope()]])
  const persisted = new Map<string, SecretData>(loadSecrets(directories.secrets))
  const authorities = new Map<string, Authority>()
  let revision = 0

  function scopeOf(key: string): { scope: Scope | undefined; name: string } {
    const at = key.indexOf(':')
    return { scope: scopes.get(at < 0 ? OWN : key.slice(0, at)), name: key.slice(at + 1) }
  }

  function compileScope(files: readonly ResourceFile[], inputs: readonly SecretInput[], mock: Scope['mock']): Scope {
    const resources = loadOrThrow(files)
    const scope: Scope = { ...emptyScope(), resources, mock }
    for (const secret of ofKind(resources, 'Secret')) {
      const values = new Map(secret.keys.map(key => [key, secret.reveal(key) ?? '']))
      for (const [key, value] of persisted.get(nameOf(secret)) ?? []) values.set(key, value)
      scope.memory.set(nameOf(secret), values)
    }
    for (const { name, data } of inputs) {
      const qualified = qualify(name)
      scope.memory.set(qualified, new Map([...(scope.memory.get(qualified) ?? []), ...Object.entries(data)]))
    }
    for (const gateway of gatewaysOf(resources)) {
      scope.policies.set(gateway, withMock(compilePolicy(resources, gateway, ++revision), mock))
    }
    return scope
  }

  function authorityOf(name: string): Authority {
    const known = authorities.get(name) ?? loadOrCreateAuthority(directories.authorities, name)
    authorities.set(name, known)
    return known
  }

  function handle(scopeName: string, name: string): GatewayHandle {
    const policy = scopes.get(scopeName)?.policies.get(name)
    if (policy === undefined) {
      const known = [...(scopes.get(scopeName)?.policies.keys() ?? [])].join(', ') || 'none'
      const reason = `there is no EgressGateway ${name} (known: ${known})`
      throw clrkError('CLRK_ARGUMENT_INVALID', {
        argument: 'gateway',
        reason,
        fix: 'Apply it with -f, or name another.',
      })
    }
    return {
      key: scopeName === OWN ? name : `${scopeName}:${name}`,
      name,
      policy: () => scopes.get(scopeName)?.policies.get(name) ?? policy,
      authority: authorityOf(name),
      close: () => {
        if (scopeName !== OWN) scopes.delete(scopeName)
      },
    }
  }

  function secretValueOf(scope: Scope, secret: string, key: string): string | undefined {
    return scope.memory.get(secret)?.get(key) ?? persisted.get(secret)?.get(key)
  }

  function adHoc(scopeName: string, files: readonly ResourceFile[], secrets: readonly SecretInput[], gateway: string) {
    scopes.set(scopeName, compileScope(files, secrets, null))
    try {
      return handle(scopeName, gateway)
    } catch (error) {
      scopes.delete(scopeName)
      throw error
    }
  }

  return {
    apply: ({ files, secrets, mockProvider }) => {
      const next = compileScope(files, secrets, mockProvider)
      const before = scopes.get(OWN)?.policies.keys() ?? []
      scopes.set(OWN, next)
      for (const key of new Set([...before, ...next.policies.keys()])) changed(key)
      const has = (secret: string, key: string) => secretValueOf(next, secret, key) !== undefined
      return warningsOf(next.resources, has)
    },
    resources: () => scopes.get(OWN)?.resources ?? [],
    find: name => handle(OWN, qualify(name)),
    forRun: (scopeName, { files, secrets, gateway, allow }) => {
      if (files.length === 0 && gateway !== null) {
        if (allow.length === 0 && secrets.length === 0) return handle(OWN, qualify(gateway))
        const reason = 'a gateway of the running worker cannot be widened by one run'
        throw clrkError('CLRK_ARGUMENT_INVALID', {
          argument: '--allow, --secret',
          reason,
          fix: 'Give its manifests with -f.',
        })
      }
      const named = files.length === 0 ? null : gateway === null ? onlyGateway(files) : qualify(gateway)
      const extra = adHocManifest(named, allow)
      return adHoc(scopeName, [...files, extra.file], secrets, extra.gateway)
    },
    closed: scopeName => {
      const { file, gateway } = adHocManifest(null, [])
      return adHoc(scopeName, [file], [], gateway)
    },
    state: key => {
      const { scope, name } = scopeOf(key)
      const policy = scope?.policies.get(name)
      if (scope === undefined || policy === undefined) return null
      const bundle = trustBundleOf(policy, secret => bundleValues(scope, secret))
      const secrets: Record<string, string> = {}
      for (const { secret, key } of secretKeysOf(policy)) {
        const value = secretValueOf(scope, secret, key)
        if (value !== undefined) secrets[`${secret}/${key}`] = value
      }
      return {
        policy: bundle.fault === null ? policy : { ...policy, fault: bundle.fault },
        secrets,
        authority: authorityOf(name).certificatePem,
        additionalRoots: [bundle.pem, scope.mock?.authority ?? ''].join('\n'),
      }
    },
    sign: (key, name, publicKey) => {
      const authority = authorityOf(scopeOf(key).name)
      const now = Date.now()
      return { certificate: mintLeaf(authority, name, publicKey, now), notAfter: leafEnd(authority, now) }
    },
    setSecret: ({ name, data, persist }) => {
      const secret = qualify(name)
      if (persist) {
        saveSecret(directories.secrets, secret, data)
        persisted.set(secret, new Map([...(persisted.get(secret) ?? []), ...Object.entries(data)]))
      }
      // The newest value wins wherever an older one is known: that is what rotation means.
      let known = false
      for (const { memory } of scopes.values()) {
        const values = memory.get(secret)
        if (values === undefined) continue
        known = true
        for (const [key, value] of Object.entries(data)) values.set(key, value)
      }
      if (!persist && !known) scopes.get(OWN)?.memory.set(secret, new Map(Object.entries(data)))
      for (const [scopeName, scope] of scopes) {
        for (const gateway of scope.policies.keys()) changed(scopeName === OWN ? gateway : `${scopeName}:${gateway}`)
      }
      return Object.keys(data).sort()
    },
  }

  function bundleValues(scope: Scope, secret: string): readonly string[] | null {
    const values = new Map([...(persisted.get(secret) ?? []), ...(scope.memory.get(secret) ?? [])])
    return values.size === 0 ? null : [...values.values()]
  }
}

function emptyScope(): Scope {
  return { resources: [], policies: new Map(), memory: new Map(), mock: null }
}

/** `name` → `default/name`. */
export function qualify(name: string): string {
  return name.includes('/') ? name : `default/${name}`
}

/** One bad object refuses them all: nothing is half applied. */
function loadOrThrow(files: readonly ResourceFile[]): ResourceSet {
  const { resources, problems } = loadResources(files)
  const [first, ...more] = problems
  if (first === undefined) return resources
  const rest = more.length === 0 ? '' : ` (and ${more.length} more like it)`
  throw clrkError(first.code, { ...first.details, fix: `${first.details.fix}${rest}` })
}

function onlyGateway(files: readonly ResourceFile[]): string {
  const gateways = gatewaysOf(loadOrThrow(files))
  const [only, ...others] = gateways
  if (only !== undefined && others.length === 0) return only
  const reason = gateways.length === 0 ? 'the manifests define no EgressGateway' : `they define ${gateways.join(', ')}`
  throw clrkError('CLRK_ARGUMENT_INVALID', { argument: '-f', reason, fix: 'Name one with --gateway NAME.' })
}

/** The stand-in's names lead to its address, which the operator opened by asking for it. */
function withMock(policy: Policy, mock: ApplyRequest['mockProvider']): Policy {
  if (mock === null) return policy
  const aliases = mock.hostnames.map(name => ({ name, address: mock.address }) as HostAlias)
  const hostAliases = [...aliases, ...policy.hostAliases]
  const digest = createHash('sha256').update(policy.digest).update(JSON.stringify(hostAliases)).digest('hex')
  return { ...policy, hostAliases, digest }
}
