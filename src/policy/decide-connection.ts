/**
 * May an agent's connection go where it goes, and how is it carried? Two steps: by destination, then by its first bytes.
 * Pure: no clock, no I/O, no throw. Under `enforcement: audit` what a rule would refuse is carried, and said in
 * `wouldDeny`; what no rule could allow (a name that is missing or false, special addresses) stays refused.
 */
import type { ClrkFault, ErrorCode, ErrorDetails } from '../errors.ts'
import { parseAuthority } from './authority.ts'
import { addressRule, coversPort, hostRule, namesHost, PROVIDER_PORT, providerRules } from './match.ts'
import { canonicalName, isPublicHostShape } from './names.ts'
import type { HostName, IpAddress, ListenerKind, Policy } from './policy.ts'

/** Where the agent dialled: a virtual address (so a name), any other address, or the explaining address. */
export type Target =
  | { readonly kind: 'name'; readonly name: HostName }
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'explaining' }

/** `rule`: the id of the rule that allows, null where the default does. */
export type TargetDecision =
  | {
      readonly verdict: 'allow'
      readonly via: 'l4' | 'provider' | 'default'
      readonly rule: string | null
      readonly wouldDeny: ClrkFault | null
    }
  /** A CIDR rule opens the address: carried as it is, never injected. */
  | { readonly verdict: 'raw-address'; readonly rule: string }
  /** The server name or the Host field will decide. */
  | { readonly verdict: 'needs-name' }
  | { readonly verdict: 'deny'; readonly fault: ClrkFault }

export type SniffedBytes =
  | {
      readonly kind: 'tls'
      readonly serverName: string | null
      readonly ech: boolean
      readonly alpn: readonly string[]
    }
  | { readonly kind: 'http'; readonly authority: string | null }
  | { readonly kind: 'raw' }

type Carried = { readonly wouldDeny: ClrkFault | null }

export type SniffedDecision =
  | ({ readonly action: 'terminate'; readonly name: HostName } & Carried)
  /** TLS carried as it is to our own resolution of `name`. */
  | ({ readonly action: 'passthrough'; readonly name: HostName } & Carried)
  /** Plain HTTP, parsed and decided request by request; never injected. */
  | ({ readonly action: 'http'; readonly name: HostName } & Carried)
  /** Bytes to our own resolution of `name`, else to `address`; one of the two is set. */
  | ({ readonly action: 'splice'; readonly name: HostName | null; readonly address: IpAddress | null } & Carried)
  /** Answer every request with `fault`; under TLS with a leaf for `name`. */
  | { readonly action: 'explain'; readonly how: 'tls'; readonly name: HostName; readonly fault: ClrkFault }
  | { readonly action: 'explain'; readonly how: 'http'; readonly name: HostName | null; readonly fault: ClrkFault }
  | { readonly action: 'reset'; readonly fault: ClrkFault }

const HTTP_PORT = 80

/** Ports where even a hopeless connection is read, so that it can be told why. */
const EXPLAINED_PORTS: ReadonlySet<number> = new Set([HTTP_PORT, PROVIDER_PORT])

/** By destination alone. */
export function decideTarget(policy: Policy, target: Target, port: number): TargetDecision {
  if (policy.fault !== null) return { verdict: 'deny', fault: policy.fault }
  if (target.kind === 'name') return decideByName(policy, target.name, port)
  if (target.kind === 'address') {
    const rule = addressRule(policy, target.address, port)
    if (rule !== null) return { verdict: 'raw-address', rule: rule.id }
  }
  return mayHoldName(policy, port)
    ? { verdict: 'needs-name' }
    : { verdict: 'deny', fault: nameless(policy, target, port) }
}

/** By destination and first bytes. Whatever `decideTarget` said is decided again, so this alone is enough. */
export function decideSniffed(policy: Policy, target: Target, port: number, sniffed: SniffedBytes): SniffedDecision {
  const first = decideTarget(policy, target, port)
  if (first.verdict === 'raw-address' && target.kind === 'address') {
    return { action: 'splice', name: null, address: target.address, wouldDeny: null }
  }
  switch (sniffed.kind) {
    case 'tls':
      return decideTls(policy, target, port, sniffed)
    case 'http':
      return decideHttp(policy, target, port, sniffed.authority)
    case 'raw':
      return decideRaw(policy, target, port)
  }
}

function decideByName(policy: Policy, name: HostName, port: number): TargetDecision {
  const rule = hostRule(policy, name, port)
  if (rule !== null) return { verdict: 'allow', via: 'l4', rule: rule.id, wouldDeny: null }
  const [provider] = port === PROVIDER_PORT ? providerRules(policy, name) : []
  if (provider !== undefined) return { verdict: 'allow', via: 'provider', rule: provider.id, wouldDeny: null }
  const known = isPublicHostShape(name) || policy.hostAliases.some(alias => alias.name === name)
  const open = known || namesHost(policy, name)
  if (open && policy.defaultPolicy === 'allow-all')
    return { verdict: 'allow', via: 'default', rule: null, wouldDeny: null }
  const code = namesHost(policy, name) ? 'CLRK_PORT_NOT_ALLOWED' : 'CLRK_NAME_NOT_ALLOWED'
  const denial = fault(policy, code, { name, port })
  if (open && policy.enforcement === 'audit') return { verdict: 'allow', via: 'default', rule: null, wouldDeny: denial }
  return { verdict: 'deny', fault: denial }
}

function decideTls(
  policy: Policy,
  target: Target,
  port: number,
  hello: Extract<SniffedBytes, { kind: 'tls' }>,
): SniffedDecision {
  const serverName = hello.serverName === null ? null : canonicalName(hello.serverName)
  if (target.kind === 'name' && serverName !== target.name) {
    const denial = fault(policy, 'CLRK_SERVER_NAME_MISMATCH', {
      name: target.name,
      serverName: serverName ?? 'no name',
    })
    return { action: 'explain', how: 'tls', name: serverName ?? target.name, fault: denial }
  }
  if (serverName === null) {
    const address = target.kind === 'address' ? target.address : 'a name that is not allowed'
    return { action: 'reset', fault: fault(policy, 'CLRK_SERVER_NAME_MISSING', { address, port }) }
  }
  const decision = decideTarget(policy, { kind: 'name', name: serverName }, port)
  const explain = (denial: ClrkFault): SniffedDecision => {
    return { action: 'explain', how: 'tls', name: serverName, fault: denial }
  }
  if (decision.verdict !== 'allow') return explain(faultOf(policy, decision, target, port))
  const { via, wouldDeny } = decision
  const [listener] = listeningKinds(policy, port).filter(kind => kind === 'tls-terminate' || kind === 'tls-passthrough')
  if (listener === 'tls-terminate') {
    const foreign = hello.alpn.length > 0 && !hello.alpn.some(protocol => HTTP_PROTOCOLS.has(protocol))
    if (!foreign) return { action: 'terminate', name: serverName, wouldDeny }
    const found = `TLS for ${hello.alpn
      .join(', ')
      .replace(/[^\x21-\x7e, ]/g, '?')
      .slice(0, 64)}`
    return { action: 'reset', fault: notHere(policy, serverName, port, 'HTTP over TLS', found) }
  }
  // Uninspected from here on: a provider's route promised endpoints and a credential, which nothing would keep.
  if (via === 'provider') {
    const reason = `no listener terminates TLS on port ${port}, which the route of ${serverName} needs`
    return explain(fault(policy, 'CLRK_POLICY_BROKEN', { reason }))
  }
  const hides = hello.ech && (listener === 'tls-passthrough' || policy.defaultPolicy === 'deny-all')
  if (hides) return { action: 'reset', fault: fault(policy, 'CLRK_TLS_ENCRYPTED_HELLO', { name: serverName }) }
  if (listener === 'tls-passthrough') return { action: 'passthrough', name: serverName, wouldDeny }
  return { action: 'splice', name: serverName, address: null, wouldDeny }
}

/** What a listener that terminates can carry. */
const HTTP_PROTOCOLS: ReadonlySet<string> = new Set(['http/1.1', 'http/1.0', 'h2'])

function decideHttp(policy: Policy, target: Target, port: number, authority: string | null): SniffedDecision {
  const said = authority === null ? null : parseAuthority(authority)
  const name = target.kind === 'name' ? target.name : said?.kind === 'name' ? said.name : null
  if (name === null) {
    const decision = decideNameless(policy, target, port)
    if ('wouldDeny' in decision) return { action: 'splice', name: null, ...decision }
    return { action: 'explain', how: 'http', name, fault: decision.fault }
  }
  const explain = (denial: ClrkFault): SniffedDecision => ({ action: 'explain', how: 'http', name, fault: denial })
  const decision = decideTarget(policy, { kind: 'name', name }, port)
  const inTheClear = fault(policy, 'CLRK_PLAIN_HTTP_NOT_ALLOWED', { name, port })
  if (policy.fault !== null) return explain(policy.fault)
  if (decision.verdict !== 'allow' || decision.via === 'provider') return explain(inTheClear)
  const wouldDeny = decision.wouldDeny === null ? null : inTheClear
  const kinds = listeningKinds(policy, port)
  if (kinds.includes('http')) return { action: 'http', name, wouldDeny }
  if (hasOwnListener(policy, 'tcp', port)) return { action: 'splice', name, address: null, wouldDeny }
  if (decision.via === 'l4' && policy.defaultPolicy === 'deny-all') return { action: 'http', name, wouldDeny }
  if (decision.via === 'default' && port === PROVIDER_PORT)
    return explain(notHere(policy, name, port, 'TLS', 'plain HTTP'))
  return { action: 'splice', name, address: null, wouldDeny }
}

function decideRaw(policy: Policy, target: Target, port: number): SniffedDecision {
  if (target.kind !== 'name') {
    const decision = decideNameless(policy, target, port)
    return 'wouldDeny' in decision ? { action: 'splice', name: null, ...decision } : { action: 'reset', ...decision }
  }
  const { name } = target
  const decision = decideTarget(policy, target, port)
  if (decision.verdict !== 'allow') return { action: 'reset', fault: faultOf(policy, decision, target, port) }
  if (decision.via === 'provider' || !takesRaw(policy, port)) {
    return { action: 'reset', fault: notHere(policy, name, port, 'HTTP over TLS', 'neither TLS nor HTTP') }
  }
  return { action: 'splice', name, address: null, wouldDeny: decision.wouldDeny }
}

/** Bytes that name nobody, to an address that no CIDR rule opens: allow-all takes them there. */
function decideNameless(
  policy: Policy,
  target: Target,
  port: number,
): { address: IpAddress; wouldDeny: ClrkFault | null } | { fault: ClrkFault } {
  const denial = policy.fault ?? nameless(policy, target, port)
  if (target.kind !== 'address' || policy.fault !== null) return { fault: denial }
  const { address } = target
  const allowed = policy.defaultPolicy === 'allow-all'
  if (!allowed && policy.enforcement === 'enforce') return { fault: denial }
  if (!takesRaw(policy, port)) return { fault: notHere(policy, address, port, 'HTTP over TLS', 'bytes without a name') }
  return { address, wouldDeny: allowed ? null : denial }
}

/** Could a server name or Host field make a connection to this port allowed, or is it owed an explanation? */
function mayHoldName(policy: Policy, port: number): boolean {
  if (policy.defaultPolicy === 'allow-all' || policy.enforcement === 'audit' || EXPLAINED_PORTS.has(port)) return true
  return policy.l4Rules.some(({ hostnames, ports }) => hostnames.length > 0 && coversPort(ports, port))
}

/**
 * On 443, and on a port of which a listener says what is spoken there, only where a TCP listener says so as well (T47).
 * On 80 only under allow-all: bytes that no HTTP parser of ours reads could name another host to the same server (T18).
 */
function takesRaw(policy: Policy, port: number): boolean {
  if (hasOwnListener(policy, 'tcp', port)) return true
  if (port === PROVIDER_PORT || policy.listeners.some(listener => listener.port === port)) return false
  return port !== HTTP_PORT || policy.defaultPolicy === 'allow-all'
}

function hasOwnListener(policy: Policy, kind: ListenerKind, port: number): boolean {
  return policy.listeners.some(listener => listener.kind === kind && listener.port === port)
}

const PRECEDENCE: readonly ListenerKind[] = ['tls-terminate', 'http', 'tls-passthrough', 'tcp']

/** The kinds of listener that catch a port, first choice first; one for that very port hides those for every port. */
function listeningKinds({ listeners }: Policy, port: number): readonly ListenerKind[] {
  const own = listeners.filter(listener => listener.port === port)
  const catching = own.length > 0 ? own : listeners.filter(listener => listener.port === null)
  return PRECEDENCE.filter(kind => catching.some(listener => listener.kind === kind))
}

function fault(policy: Policy, code: ErrorCode, details: ErrorDetails): ClrkFault {
  return { code, details: { gateway: policy.gateway, ...details } }
}

function notHere(policy: Policy, name: string, port: number, expected: string, found: string): ClrkFault {
  return fault(policy, 'CLRK_PROTOCOL_NOT_ALLOWED', { name, port, expected, found })
}

function nameless(policy: Policy, target: Target, port: number): ClrkFault {
  if (target.kind === 'address') return fault(policy, 'CLRK_ADDRESS_NOT_ALLOWED', { address: target.address, port })
  const name = target.kind === 'name' ? target.name : 'the name that led here'
  return fault(policy, 'CLRK_NAME_NOT_ALLOWED', { name, port })
}

function faultOf(policy: Policy, decision: TargetDecision, target: Target, port: number): ClrkFault {
  return decision.verdict === 'deny' ? decision.fault : nameless(policy, target, port)
}
