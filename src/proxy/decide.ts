/** One request, in whatever protocol it came: decided afresh, given its credential, counted, audited and recorded. */
import { type Injection, isForeignCredential, partSubprotocols } from '../credentials/inject.ts'
import { createResponseGuard } from '../credentials/response-guard.ts'
import { type ClrkFault, clrkError } from '../errors.ts'
import { fieldValue, type RequestHead } from '../http1/head.ts'
import type { Answer, Forward, ReadBody, ResponseGuard } from '../http1/hooks.ts'
import { readUpgrade } from '../http1/websocket.ts'
import type { ProviderRule } from '../policy/policy.ts'
import type { Authority, SandboxContext } from './context.ts'
import { problemAnswer } from './deny.ts'
import { observeExchange } from './observe.ts'
import { type Plan, planOf, planWithModel } from './plan.ts'
import { modelProblem, readModel } from './request-model.ts'

/** Everything about a request that the policy says; `acquire` is how its protocol reaches the origin. */
export type Decided<A> = Omit<Forward, 'acquire'> & { readonly acquire: A }

/** May `head` be sent, and with what? Counts and audits it; what is denied is recorded, the rest by its observer. */
export function decide<A>(
  context: SandboxContext,
  authority: Authority,
  head: RequestHead,
  acquire: A,
): Answer | Decided<A> | ReadBody<Decided<A>> {
  context.counters.requests += 1
  const plan = planOfHead(context, authority, head)
  if (plan.decision.verdict !== 'read-body') return carryOut(context, authority, head, acquire, plan)
  return readModel(
    context,
    head,
    fault => deny(context, authority, head, fault, null),
    model => carryOut(context, authority, head, acquire, planWithModel(context, authority, head, model)),
  )
}

/** The plan for `head`; `read-body` only where its body may say the model. */
function planOfHead(context: SandboxContext, authority: Authority, head: RequestHead): Plan {
  const plan = planOf(context, authority, head)
  const unreadable = plan.decision.verdict === 'read-body' ? modelProblem(head) : null
  return unreadable === null ? plan : planWithModel(context, authority, head, { unreadable })
}

function carryOut<A>(
  context: SandboxContext,
  authority: Authority,
  head: RequestHead,
  acquire: A,
  { decision, injection, changes }: Plan,
): Answer | Decided<A> {
  const { gateway, counters } = context
  const { name, port } = authority
  const policy = gateway.policy()
  if (policy.fault !== null) return deny(context, authority, head, policy.fault, null)
  if (decision.verdict === 'deny') return deny(context, authority, head, decision.fault, null)
  const upgrade = readUpgrade(head)
  if (upgrade !== null && 'code' in upgrade) return deny(context, authority, head, upgrade, null)
  if (decision.verdict === 'read-body') throw clrkError('CLRK_INTERNAL', { reason: 'a body was read for nothing' })
  if (decision.wouldDeny !== null) {
    context.audit({ action: 'would-deny', protocol: 'http', name, address: null, port, fault: decision.wouldDeny })
  }
  if (injection !== null && 'fault' in injection) return deny(context, authority, head, injection.fault, decision.rule)
  if (injection === null || changes === null) throw clrkError('CLRK_INTERNAL', { reason: 'a request without a plan' })
  const { kept, credentials } =
    upgrade === null || decision.strip === null
      ? { kept: upgrade?.subprotocols ?? [], credentials: [] }
      : partSubprotocols(upgrade.subprotocols)
  reportForeign(context, authority, head, injection, credentials)
  const injects = injection.set.length > 0
  if (injects) counters.injected += 1
  return {
    kind: 'forward',
    upgrade: upgrade === null ? null : { ...upgrade, subprotocols: kept },
    remove: changes.remove,
    set: changes.set,
    target: injection.target,
    acquire,
    observer: observeExchange(context, authority, head, decision.rule),
    guard: injects ? guardAnswer(context, authority, injection) : null,
    firstByteMs: policy.requestTimeoutMs,
  }
}

/**
 * What the policy of now says of `head`, as text: it differs once anything does that an open WebSocket rests on (that
 * it may be there, and with which credential).
 */
export function standingOf(context: SandboxContext, authority: Authority, head: RequestHead): string {
  const { decision: now } = planOfHead(context, authority, head)
  return now.verdict === 'forward' ? JSON.stringify([now.strip, now.credentials]) : now.verdict
}

const SUBPROTOCOL = 'sec-websocket-protocol'

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

/** Counts and audits a request that is not forwarded. */
export function refused(context: SandboxContext, { scheme, name, port }: Authority, fault: ClrkFault): void {
  context.counters.denied += 1
  const protocol = scheme === 'https' ? 'tls' : 'http'
  context.audit({ action: 'denied', protocol, name, address: null, port, fault })
}

/** What the agent reads of `fault`. */
export function answer({ gateway }: SandboxContext, fault: ClrkFault): Answer {
  return { kind: 'answer', ...problemAnswer(fault, gateway.policy().gateway), close: false }
}

/** What was set does not come back; that it would have is audited. */
function guardAnswer({ audit }: SandboxContext, { name, port }: Authority, { search }: Injection): ResponseGuard {
  return createResponseGuard(search, name, (secret, where) => {
    const fault: ClrkFault = { code: 'CLRK_SECRET_ECHOED', details: { name, secret, where } }
    audit({ action: 'replaced', protocol: 'http', name, address: null, port, fault })
  })
}

/** A credential of the agent's own, not the placeholder, was removed: say so once in a while, without its value. */
function reportForeign(
  { audit }: SandboxContext,
  { name, port }: Authority,
  head: RequestHead,
  { remove, removedParameters }: Injection,
  subprotocols: readonly string[],
): void {
  let headers: string[] | null = null
  for (let index = 0; index < head.names.length; index++) {
    const name = head.names[index] ?? ''
    if (!remove(name) || name === SUBPROTOCOL || !isForeignCredential(fieldValue(head, index))) continue
    headers ??= []
    headers.push(name)
  }
  if (headers === null && removedParameters.length === 0 && subprotocols.length === 0) return
  headers ??= []
  if (subprotocols.some(isForeignCredential)) headers.push(SUBPROTOCOL)
  const where = [...new Set([...headers, ...removedParameters.map(parameter => `?${parameter}`)])].join(', ')
  if (where === '') return
  const fault: ClrkFault = { code: 'CLRK_FOREIGN_CREDENTIAL', details: { name, where } }
  audit({ action: 'stripped', protocol: 'http', name, address: null, port, fault })
}

/** Audits what a part of the proxy threw. */
export function report({ audit, gateway }: SandboxContext, error: unknown): void {
  const reason = gateway.redact(error instanceof Error ? error.message : String(error))
  const fault: ClrkFault = { code: 'CLRK_INTERNAL', details: { reason } }
  audit({ action: 'failed', protocol: 'http', name: null, address: null, port: null, fault })
}
