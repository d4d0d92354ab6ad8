/**
 * What the policy says of a request, worked out once for each method and target of an authority and remembered while
 * policy and secrets stay what they are: the next version of either starts afresh, from the next request on (T67).
 */
import { type Injection, type InjectionResult, planInjection } from '../credentials/inject.ts'
import { hidesEchoes, PLAIN_ANSWERS } from '../credentials/response-guard.ts'
import type { RequestHead } from '../http1/head.ts'
import type { RequestChanges } from '../http1/rewrite.ts'
import { decideRequest, type RequestDecision } from '../policy/decide-request.ts'
import type { ProviderRule } from '../policy/policy.ts'
import type { SaidModel } from '../providers/body-model.ts'
import { providerOfHost } from '../providers/registry.ts'
import type { Subject } from '../telemetry/exchange.ts'
import type { Authority, SandboxContext } from './context.ts'

export type Plan = {
  readonly decision: RequestDecision
  /** What is taken out and set; null where the request is not forwarded as it is. */
  readonly injection: InjectionResult | null
  /** The same for the head that goes out: with a credential, what could hide its echo goes too. */
  readonly changes: Pick<RequestChanges, 'remove' | 'set'> | null
}

/** The decision about `head`, whose body was not read, and its injection. */
export function planOf(context: SandboxContext, authority: Authority, head: RequestHead): Plan {
  // Only what says the very name of its connection: any other Host is read afresh each time.
  if (head.host !== authority.name) return plan(context, authority, head, null)
  const { plans } = memoryOf(context, authority)
  const key = `${head.method} ${head.target}`
  const known = plans.get(key)
  if (known !== undefined) return known
  const made = plan(context, authority, head, null)
  if (key.length > KEY_CHARACTERS) return made
  if (plans.size >= PLANS) plans.clear()
  plans.set(key, made)
  return made
}

/** The same where the decision asked for the body, and `model` is what it says: of this one request, never remembered. */
export function planWithModel(
  context: SandboxContext,
  authority: Authority,
  head: RequestHead,
  model: SaidModel,
): Plan {
  return plan(context, authority, head, model)
}

/** What telemetry calls the exchanges of `authority` under `rule`. */
export function subjectOf(context: SandboxContext, authority: Authority, rule: ProviderRule | null): Subject {
  const { subjects } = memoryOf(context, authority)
  const known = subjects.get(rule)
  if (known !== undefined) return known
  const { scheme, name, port } = authority
  const made: Subject = {
    gateway: context.gateway.policy().gateway,
    sandbox: context.identity,
    scheme,
    name,
    port,
    provider: rule?.provider ?? providerOfHost(name)?.id ?? null,
    rule: rule?.id ?? null,
    route: rule?.route ?? null,
  }
  subjects.set(rule, made)
  return made
}

function plan({ gateway }: SandboxContext, authority: Authority, head: RequestHead, model: SaidModel | null): Plan {
  const decision = decideRequest(gateway.policy(), {
    ...authority,
    method: head.method,
    authority: head.host ?? '',
    path: head.target,
    model,
  })
  if (decision.verdict !== 'forward') return { decision, injection: null, changes: null }
  const injection = planInjection(decision.strip, decision.credentials, head.target, gateway.secretOf)
  return { decision, injection, changes: 'fault' in injection ? null : changesOf(injection) }
}

function changesOf({ remove, set }: Injection): Pick<RequestChanges, 'remove' | 'set'> {
  if (set.length === 0) return { remove, set }
  return { remove: name => remove(name) || hidesEchoes(name), set: [...PLAIN_ANSWERS, ...set] }
}

type Memory = {
  readonly version: number
  readonly plans: Map<string, Plan>
  readonly subjects: Map<ProviderRule | null, Subject>
}

/** Of one sandbox's requests to an authority: all its connections to it share one. */
function memoryOf(context: SandboxContext, authority: Authority): Memory {
  const version = context.gateway.version()
  const own = byAuthority.get(authority)
  if (own !== undefined && own.version === version) return own
  const key = `${authority.scheme} ${authority.name} ${authority.port}`
  let all = bySandbox.get(context)
  if (all === undefined) {
    all = new Map()
    bySandbox.set(context, all)
  }
  let shared = all.get(key)
  if (shared === undefined || shared.version !== version) {
    shared = { version, plans: new Map(), subjects: new Map() }
    if (all.size >= AUTHORITIES) all.clear()
    all.set(key, shared)
  }
  byAuthority.set(authority, shared)
  return shared
}

const bySandbox = new WeakMap<SandboxContext, Map<string, Memory>>()
/** An `Authority` is one connection's: looking it up costs less than making the key again. */
const byAuthority = new WeakMap<Authority, Memory>()

/** Past these all are forgotten, which costs the next request a decision. */
const AUTHORITIES = 256
const PLANS = 128
const KEY_CHARACTERS = 512
