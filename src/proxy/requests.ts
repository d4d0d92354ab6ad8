/** HTTP/1.1 requests of one connection. */
import type { Duplex } from 'node:stream'
import type { ClrkFault } from '../errors.ts'
import { serveHttp1 } from '../http1/exchange.ts'
import type { RequestHead } from '../http1/head.ts'
import type { Http1Hooks, UpstreamLease } from '../http1/hooks.ts'
import { dialTcp } from '../upstream/dial.ts'
import type { Authority, SandboxContext } from './context.ts'
import { answer, decide, refused, report, standingOf } from './decide.ts'

/**
 * Serves requests on `agent` (plain, or already terminated TLS) until it closes. What is returned decides again about a
 * request that became a WebSocket, under the policy of now, and closes it unless it still stands as it did (T67).
 */
export function serveRequests(context: SandboxContext, agent: Duplex, authority: Authority): () => void {
  let upgraded: { readonly head: RequestHead; readonly standing: string } | null = null
  serveHttp1(agent, {
    decide: head => {
      const decision = decide(context, authority, head, (fresh: boolean) => acquire(context, authority, fresh))
      const becomes = decision.kind === 'forward' && decision.upgrade !== null
      upgraded = becomes ? { head, standing: standingOf(context, authority, head) } : null
      return decision
    },
    failed: (head, fault) => {
      if (head === null) refused(context, authority, fault)
      return answer(context, fault)
    },
    report: error => report(context, error),
  })
  return () => {
    if (upgraded !== null && standingOf(context, authority, upgraded.head) !== upgraded.standing) agent.destroy()
  }
}

/** Answers every request on `agent` with `fault`, which was audited when the connection was refused. */
export function serveExplanation(context: SandboxContext, agent: Duplex, fault: ClrkFault): void {
  const explain = () => answer(context, fault)
  const hooks: Http1Hooks = { decide: explain, failed: explain, report: error => report(context, error) }
  serveHttp1(agent, hooks)
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
