/** HTTP requests of one connection: each is decided afresh, gets its credential, and is recorded. */
import type { Duplex } from 'node:stream'
import { isForeignCredential, planInjection } from '../credentials/inject.ts'
import type { ClrkFault } from '../errors.ts'
import { serveHttp1 } from '../http1/exchange.ts'
import { fieldValues, type RequestHead } from '../http1/head.ts'
import type { Answer, Decision, Http1Hooks, UpstreamLease } from '../http1/hooks.ts'
import { decideRequest } from '../policy/decide-request.ts'
import type { HostName, ProviderRule } from '../policy/policy.ts'
import { dialTcp } from '../upstream/dial.ts'
import { problemAnswer } from './deny.ts'
import { observeExchange } from './observe.ts'
import type { SandboxContext } from './sandbox-proxy.ts'

/** What a connection is for: every request on it must be for the same (T06). */
export type Authority = { readonly scheme: 'http' | 'https'; readonly name: HostName; readonly port: number }

/** Serves requests on `agent` (plain, or already terminated TLS) until it closes. */
export function serveRequests(context: SandboxContext, agent: Duplex, authority: Authority): void {
  serveHttp1(agent, {
    decide: head => decide(context, authority, head),
    failed: (head, fault) => {
      if (head === null) refused(context, authority, fault)
      return answer(context, fault)
    },
    report: error => report(context, error),
  })
}

/** Answers every request on `agent` with `fault`, which was audited when the connection was refused. */
export function serveExplanation(context: SandboxContext, agent: Duplex, fault: ClrkFault): void {
  const explain = () => answer(context, fault)
  const hooks: Http1Hooks = { decide: explain, failed: explain, report: error => report(context, error) }
  serveHttp1(agent, hooks)
}

function decide(context: SandboxContext, authority: Authority, head: RequestHead): Decision {
  const { gateway, counters } = context
  const { scheme, name, port } = authority
  const policy = gateway.policy()
  counters.requests += 1
  const decision = decideRequest(policy, {
    scheme,
    name,
    port,
    method: head.method,
    authority: head.host ?? '',
    path: head.target,
    model: null,
  })
  if (policy.fault !== null) return deny(context, authority, head, policy.fault, null)
  if (decision.verdict === 'deny') return deny(context, authority, head, decision.fault, null)
  if (decision.verdict === 'read-body') {
    const reason = 'routes by model are not supported by this version'
    return deny(
      context,
      authority,
      head,
      { code: 'CLRK_POLICY_BROKEN', details: { gateway: policy.gateway, reason } },
      null,
    )
  }
  if (decision.wouldDeny !== null) {
    context.audit({ action: 'would-deny', protocol: 'http', name, address: null, port, fault: decision.wouldDeny })
  }
  const injection = planInjection(decision.strip, decision.credentials, head.target, gateway.secretOf)
  if ('fault' in injection) return deny(context, authority, head, injection.fault, decision.rule)
  reportForeign(context, authority, head, injection.remove, injection.removedParameters)
  if (injection.set.length > 0) counters.injected += 1
  return {
    kind: 'forward',
    remove: injection.remove,
    set: injection.set,
    target: injection.target,
    acquire: fresh => acquire(context, authority, fresh),
    observer: observeExchange(context, authority, head, decision.rule),
    guard: null,
    firstByteMs: policy.requestTimeoutMs,
  }
}

function acquire(
  { gateway }: SandboxContext,
  { scheme, name, port }: Authority,
  fresh: boolean,
): UpstreamLease | Promise<UpstreamLease> {
  if (scheme === 'https') return gateway.pool.acquire(name, port, fresh)
  return dialTcp(gateway.dialContext(), { name }, port).then(socket => ({
    socket,
    fresh: true,
    release: () => socket.destroy(),
  }))
}

function deny(
  context: SandboxContext,
  authority: Authority,
  head: RequestHead,
  fault: ClrkFault,
  rule: ProviderRule | null,
): Answer {
  refused(context, authority, fault)
  const said = answer(context, fault)
  const observer = observeExchange(context, authority, head, rule)
  observer.requestHead(head, [])
  observer.denied(said.status, fault)
  return said
}

function refused(context: SandboxContext, { scheme, name, port }: Authority, fault: ClrkFault): void {
  context.counters.denied += 1
  const protocol = scheme === 'https' ? 'tls' : 'http'
  context.audit({ action: 'denied', protocol, name, address: null, port, fault })
}

function answer({ gateway }: SandboxContext, fault: ClrkFault): Answer {
  return { kind: 'answer', ...problemAnswer(fault, gateway.policy().gateway), close: false }
}

/** A credential of the agent's own, not the placeholder, was removed: say so once in a while, without its value. */
function reportForeign(
  { audit }: SandboxContext,
  { name, port }: Authority,
  head: RequestHead,
  remove: (lowerName: string) => boolean,
  removedParameters: readonly string[],
): void {
  const headers = head.names.filter(
    lowerName => remove(lowerName) && fieldValues(head, lowerName).some(isForeignCredential),
  )
  const where = [...new Set([...headers, ...removedParameters.map(parameter => `?${parameter}`)])].join(', ')
  if (where === '') return
  const fault: ClrkFault = { code: 'CLRK_FOREIGN_CREDENTIAL', details: { name, where } }
  audit({ action: 'stripped', protocol: 'http', name, address: null, port, fault })
}

function report({ audit, gateway }: SandboxContext, error: unknown): void {
  const reason = gateway.redact(error instanceof Error ? error.message : String(error))
  const fault: ClrkFault = { code: 'CLRK_INTERNAL', details: { reason } }
  audit({ action: 'failed', protocol: 'http', name: null, address: null, port: null, fault })
}
