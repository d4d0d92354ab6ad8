/** HTTP/2 requests of one connection: the same decisions as for HTTP/1.1, stream by stream. */
import type { TLSSocket } from 'node:tls'
import type { ClrkFault } from '../errors.ts'
import type { Http2Hooks } from '../http2/hooks.ts'
import { type Http2Connection, serveHttp2 } from '../http2/serve.ts'
import { LIMITS } from '../limits.ts'
import type { Http2Pool } from '../upstream/http2-pool.ts'
import { reportLimit } from './audit.ts'
import type { Authority, SandboxContext } from './context.ts'
import { answer, decide, refused, report } from './decide.ts'
import { type TokenBucket, tokenBucket } from './token-bucket.ts'

/** Serves requests on `agent`, where h2 was negotiated, until it closes. */
export function serveHttp2Requests(
  context: SandboxContext,
  agent: TLSSocket,
  authority: Authority,
  upstream: Http2Pool,
): Http2Connection {
  return serveHttp2(agent, {
    ...bounds(context, authority),
    decide: head =>
      decide(context, authority, head, (fresh: boolean, streams: boolean) =>
        upstream.acquire(authority.name, authority.port, fresh, streams),
      ),
    failed: (head, fault) => {
      if (head === null) refused(context, authority, fault)
      return answer(context, fault)
    },
    report: error => report(context, error),
  })
}

/** Answers every request on `agent` with `fault`, which was audited when the connection was refused. */
export function serveHttp2Explanation(
  context: SandboxContext,
  agent: TLSSocket,
  authority: Authority,
  fault: ClrkFault,
): Http2Connection {
  const explain = () => answer(context, fault)
  return serveHttp2(agent, {
    ...bounds(context, authority),
    decide: explain,
    failed: explain,
    report: error => report(context, error),
  })
}

/** What the streams of all connections of one sandbox have in common. */
type Shared = { open: number; readonly cancels: TokenBucket }

const shared = new WeakMap<SandboxContext, Shared>()

function bounds(context: SandboxContext, authority: Authority): Pick<Http2Hooks, 'opened' | 'closed' | 'control'> {
  const all = shared.get(context) ?? {
    open: 0,
    cancels: tokenBucket(LIMITS.http2CancelBurst, LIMITS.http2CancelPerSecond),
  }
  shared.set(context, all)
  const control = tokenBucket(LIMITS.http2ControlBurst, LIMITS.http2ControlPerSecond)
  return {
    opened: () => {
      if (all.open < LIMITS.http2StreamsPerSandbox) {
        all.open += 1
        return true
      }
      reportLimit(context.audit, 'open HTTP/2 streams', LIMITS.http2StreamsPerSandbox, authority.name)
      return false
    },
    closed: cancelled => {
      all.open -= 1
      return !cancelled || all.cancels.take()
    },
    control: () => control.take(),
  }
}
