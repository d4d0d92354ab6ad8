/** May this request be sent, with which credential, and what of the agent's is removed first? Asked for every request. */
import type { ClrkFault, ErrorCode, ErrorDetails } from '../errors.ts'
import type { SaidModel } from '../providers/body-model.ts'
import { providerById, providerOfHost } from '../providers/registry.ts'
import { matchesGlob } from '../resources/glob.ts'
import { parseAuthority } from './authority.ts'
import { decideTarget } from './decide-connection.ts'
import { PROVIDER_PORT, providerRules } from './match.ts'
import { pathProblem } from './paths.ts'
import type { Credential, HostName, Policy, ProviderId, ProviderRule } from './policy.ts'

export type RequestFacts = {
  readonly scheme: 'https' | 'http'
  /** What the connection is for. */
  readonly name: HostName
  readonly port: number
  readonly method: string
  /** The Host field or `:authority`, as sent. */
  readonly authority: string
  /** Origin-form target: path and query. */
  readonly path: string
  /** What the body says; null where it was not read. A model in the path goes before it. */
  readonly model: SaidModel | null
}

export type RequestDecision =
  | {
      readonly verdict: 'forward'
      readonly rule: ProviderRule | null
      /** Every credential that this provider takes and the agent set is removed. */
      readonly strip: ProviderId | null
      readonly credentials: readonly Credential[]
      /** Under `enforcement: audit`, what it would have been refused with. */
      readonly wouldDeny: ClrkFault | null
    }
  /** `rule` names models: read the body, and ask again with what it says. Never where `model` is given. */
  | { readonly verdict: 'read-body'; readonly rule: ProviderRule }
  | { readonly verdict: 'deny'; readonly fault: ClrkFault }

/**
 * Pure: no clock, no I/O, no throw. The first rule that names provider, endpoint and model wins. A credential is set on
 * port 443 over TLS only; the agent's own are removed wherever a route speaks of the host (T34, T89).
 */
export function decideRequest(policy: Policy, request: RequestFacts): RequestDecision {
  const { scheme, name, port } = request
  const malformed = requestRefusal(policy, request)
  if (malformed !== null) return deny(malformed)
  const connection = decideTarget(policy, { kind: 'name', name }, port)
  if (connection.verdict === 'deny') return deny(connection.fault)
  const wouldDeny = connection.verdict === 'allow' ? connection.wouldDeny : null
  const rules = providerRules(policy, name)
  const [first] = rules
  // A provider's host that no route speaks of is a host like any other: the agent may bring its own key.
  const provider = first === undefined ? null : (providerOfHost(name)?.id ?? first.provider)
  const plain: RequestDecision = { verdict: 'forward', rule: null, strip: provider, credentials: [], wouldDeny }
  if (scheme === 'http') {
    const allowed = connection.verdict === 'allow' && connection.via !== 'provider'
    return allowed ? plain : deny(faultOf(policy, 'CLRK_PLAIN_HTTP_NOT_ALLOWED', { name, port }))
  }
  if (port !== PROVIDER_PORT || provider === null) return plain

  const path = pathOf(request)
  const ambiguous = rules.some(rule => rule.endpoints.length + rule.models.length > 0) ? pathProblem(path) : null
  if (ambiguous !== null) return deny(faultOf(policy, 'CLRK_HTTP_MALFORMED', { reason: ambiguous }))
  const matching = rules.filter(({ endpoints }) => endpoints.length === 0 || endpoints.some(e => matchesGlob(e, path)))
  const api = providerById(provider)
  let unnamed: string | null = null
  let unreadable: string | null = null
  for (const rule of matching) {
    if (rule.models.length > 0) {
      const model = api.modelOfPath(path) ?? (api.modelInBody(path) ? request.model : IN_NO_BODY)
      if (model === null) return { verdict: 'read-body', rule }
      if (typeof model !== 'string') {
        unreadable ??= model.unreadable
        continue
      }
      if (!rule.models.some(glob => matchesGlob(glob, model))) {
        unnamed ??= model
        continue
      }
    }
    if (rule.fault !== null) return deny(rule.fault)
    return { verdict: 'forward', rule, strip: rule.provider, credentials: rule.credentials, wouldDeny }
  }
  if (policy.defaultPolicy === 'allow-all') return plain
  const details = { name, provider, path: path.slice(0, 256) }
  const denial =
    unreadable !== null
      ? faultOf(policy, 'CLRK_MODEL_UNREADABLE', { ...details, reason: unreadable })
      : unnamed !== null
        ? faultOf(policy, 'CLRK_MODEL_NOT_ALLOWED', { ...details, model: unnamed.slice(0, 256) })
        : faultOf(policy, 'CLRK_ENDPOINT_NOT_ALLOWED', details)
  return policy.enforcement === 'audit' ? { ...plain, wouldDeny: denial } : deny(denial)
}

/** What is wrong with a request whatever the rules are. */
function requestRefusal(policy: Policy, { name, port, method, authority, path }: RequestFacts): ClrkFault | null {
  if (policy.fault !== null) return policy.fault
  if (NEVER_FORWARDED.has(method.toUpperCase())) {
    return faultOf(policy, 'CLRK_METHOD_NOT_ALLOWED', { method: method.toUpperCase() })
  }
  if (authority !== name) {
    const said = parseAuthority(authority)
    if (said === null) return faultOf(policy, 'CLRK_HTTP_MALFORMED', { reason: 'Host is not one host name' })
    if (said.kind !== 'name' || said.name !== name || (said.port !== null && said.port !== port)) {
      return faultOf(policy, 'CLRK_AUTHORITY_MISMATCH', { name, authority: authority.slice(0, 256) })
    }
  }
  const originForm = path.startsWith('/') || (path === '*' && method === 'OPTIONS')
  return originForm ? null : faultOf(policy, 'CLRK_HTTP_MALFORMED', { reason: 'the target is not a path' })
}

/** For operations of an API that names models in its paths. */
const IN_NO_BODY: SaidModel = { unreadable: 'this API names models in the path, and this path names none' }

/** They echo a credential (T39) or open a tunnel (T35). */
const NEVER_FORWARDED: ReadonlySet<string> = new Set(['TRACE', 'TRACK', 'CONNECT'])

/** `OPTIONS *` asks about the server as a whole: no endpoint names it but one for every path. */
function pathOf({ path }: RequestFacts): string {
  const query = path.indexOf('?')
  return path === '*' ? '/' : query < 0 ? path : path.slice(0, query)
}

function faultOf(policy: Policy, code: ErrorCode, details: ErrorDetails): ClrkFault {
  return { code, details: { gateway: policy.gateway, ...details } }
}

function deny(fault: ClrkFault): RequestDecision {
  return { verdict: 'deny', fault }
}
