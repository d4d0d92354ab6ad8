/**
 * What a request loses and gains on its way out: every credential that the provider accepts and the agent set is
 * removed, then the policy's is set; always, whatever the agent sent (T32–T34). Pure.
 */
import type { ClrkFault } from '../errors.ts'
import type { Credential, ProviderId } from '../policy/policy.ts'
import { PLACEHOLDER } from '../providers/provider.ts'
import { providerById } from '../providers/registry.ts'
import { headerValueProblem, type SecretValue } from '../secrets/value.ts'
import { createSearch, type Search } from './scrub.ts'

export type Injection = {
  /** Is this header (lower case) one of the agent's that must go? */
  readonly remove: (lowerName: string) => boolean
  /** Set after everything else, in order. */
  readonly set: readonly (readonly [name: string, value: string])[]
  /** The target without the provider's credential parameters. */
  readonly target: string
  /** For what was set, in what comes back. */
  readonly search: Search
  /** Parameters that were taken out of the target, lower case. */
  readonly removedParameters: readonly string[]
}

export type InjectionResult = Injection | { readonly fault: ClrkFault }

const NOTHING: ReadonlySet<string> = new Set()
const CREDENTIAL_WORD = '(?:^|[._-])(?:key|apikey|token|jwt|bearer|auth|authorization|secret|password|credential|sk)'
const CREDENTIAL_SUBPROTOCOL = new RegExp(`${CREDENTIAL_WORD}[._-]`, 'i')
const ANNOUNCES_CREDENTIAL = new RegExp(`${CREDENTIAL_WORD}$`, 'i')
const authHeaders = new Map<ProviderId, ReadonlySet<string>>()

/**
 * `secretOf` gives the value of `namespace/name/key`, or undefined where it does not exist. A missing or unusable
 * value is CLRK_SECRET_MISSING: the request must not leave.
 */
export function planInjection(
  strip: ProviderId | null,
  credentials: readonly Credential[],
  target: string,
  secretOf: (name: string) => SecretValue | undefined,
): InjectionResult {
  const set: (readonly [string, string])[] = []
  const injected = new Set<string>()
  const values: SecretValue[] = []
  for (const { secret, headerName } of credentials) {
    const value = secretOf(`${secret.secret}/${secret.key}`)
    if (value === undefined || headerValueProblem(value) !== null) {
      return { fault: { code: 'CLRK_SECRET_MISSING', details: { secret: secret.secret, key: secret.key } } }
    }
    set.push([headerName, value.reveal()])
    values.push(value)
    injected.add(headerName)
  }
  const stripped = strip === null ? NOTHING : headersOf(strip)
  const { kept, removed } = strip === null ? { kept: target, removed: [] } : withoutParameters(target, strip)
  return {
    remove: name => stripped.has(name) || injected.has(name),
    set,
    target: kept,
    search: searchFor(values),
    removedParameters: removed,
  }
}

/** Made once for each set of values: those of a Secret are one object until it changes. */
function searchFor(values: readonly SecretValue[]): Search {
  const [first] = values
  if (first === undefined) return NOTHING_SOUGHT
  const known = searches.get(first)
  if (
    known !== undefined &&
    known.values.length === values.length &&
    known.values.every((value, at) => value === values[at])
  )
    return known.search
  const search = createSearch(values.map(value => ({ name: value.name, value: value.reveal() })))
  searches.set(first, { values, search })
  return search
}

const NOTHING_SOUGHT = createSearch([])
const searches = new WeakMap<SecretValue, { readonly values: readonly SecretValue[]; readonly search: Search }>()

/**
 * Parts the subprotocols that an agent offers (RFC 6455 §4.1): those that go on, and the credentials that some clients
 * put there, `openai-insecure-api-key.<key>` or `token` (which goes as well) and the key behind it.
 */
export function partSubprotocols(offered: readonly string[]): {
  readonly kept: readonly string[]
  readonly credentials: readonly string[]
} {
  const kept: string[] = []
  const credentials: string[] = []
  let nextIsOne = false
  for (const name of offered) {
    const announces: boolean = !nextIsOne && ANNOUNCES_CREDENTIAL.test(name)
    if (nextIsOne || (!announces && CREDENTIAL_SUBPROTOCOL.test(name))) credentials.push(name)
    else if (!announces) kept.push(name)
    nextIsOne = announces
  }
  return { kept, credentials }
}

/** Is this value of a credential header one of the agent's own, not the placeholder? */
export function isForeignCredential(value: string): boolean {
  const bare = value.replace(/^(bearer|basic|token|apikey)\s+/i, '').trim()
  return bare !== '' && bare !== PLACEHOLDER && !bare.endsWith(`.${PLACEHOLDER}`)
}

function headersOf(id: ProviderId): ReadonlySet<string> {
  let headers = authHeaders.get(id)
  if (headers === undefined) {
    headers = new Set(providerById(id)?.authHeaders ?? [])
    authHeaders.set(id, headers)
  }
  return headers
}

/** Splits on `&` and `;` and compares decoded names without case: what a lenient server might read as the parameter. */
function withoutParameters(target: string, id: ProviderId): { kept: string; removed: readonly string[] } {
  const at = target.indexOf('?')
  const parameters = providerById(id)?.authQueryParams ?? []
  if (at < 0 || parameters.length === 0) return { kept: target, removed: [] }
  const guarded = new Set(parameters.map(name => name.toLowerCase()))
  const removed: string[] = []
  const kept = target
    .slice(at + 1)
    .split(/(?<=[&;])/)
    .filter(part => {
      const name = parameterName(part)
      if (!guarded.has(name)) return true
      removed.push(name)
      return false
    })
    .join('')
    .replace(/[&;]$/, '')
  if (removed.length === 0) return { kept: target, removed }
  return { kept: kept === '' ? target.slice(0, at) : `${target.slice(0, at)}?${kept}`, removed }
}

/** The name of one parameter of a query, as a lenient server might read it: decoded, lower case. */
export function parameterName(part: string): string {
  const raw = part.replace(/[&;]$/, '').split('=', 1)[0] ?? ''
  try {
    return decodeURIComponent(raw.replace(/\+/g, ' ')).trim().toLowerCase()
  } catch {
    return raw.toLowerCase()
  }
}
