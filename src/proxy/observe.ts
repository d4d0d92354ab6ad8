/** One exchange as telemetry sees it: heads and slices while they pass, one record when it is over. */
import type { ClrkFault } from '../errors.ts'
import { fieldValue, type RequestHead, type ResponseHead } from '../http1/head.ts'
import type { ExchangeObserver } from '../http1/hooks.ts'
import type { ProviderRule } from '../policy/policy.ts'
import { providerOfHost } from '../providers/registry.ts'
import { type BodyTap, createBodyTap } from '../telemetry/body-tap.ts'
import type { Exchange } from '../telemetry/record.ts'
import type { Authority, SandboxContext } from './context.ts'

/** `denied`: the request was answered by the proxy; no other call follows it but none is needed either. */
export type RecordingObserver = ExchangeObserver & { readonly denied: (status: number, fault: ClrkFault) => void }

export function observeExchange(
  { gateway, identity, counters }: SandboxContext,
  { scheme, name, port }: Authority,
  head: RequestHead,
  rule: ProviderRule | null,
): RecordingObserver {
  const { policy, exporter } = { policy: gateway.policy(), exporter: gateway.exporter() }
  const startTimeNs = wallClockNs()
  const fields = fieldLines(head.text)
  let request = createBodyTap(policy.otlp.captureBody, fields, 'request')
  let response: BodyTap | null = null
  let answered: ResponseHead | null = null
  let injected: readonly string[] = []

  const record = (status: number, error: ClrkFault | null) => {
    const up = request.end()
    const down = response?.end()
    const exchange: Exchange = {
      gateway: policy.gateway,
      sandbox: identity,
      startTimeNs,
      endTimeNs: wallClockNs(),
      method: head.method,
      scheme,
      name,
      port,
      target: head.target,
      status,
      error,
      requestHead: fields,
      injected,
      responseHead: answered === null ? '' : fieldLines(answered.text),
      requestBody: up.body,
      requestBodyBytes: up.bytes,
      requestTruncated: up.truncated,
      responseBody: down?.body ?? [],
      responseBodyBytes: down?.bytes ?? 0,
      responseTruncated: down?.truncated ?? false,
      responseChunks: down?.chunks ?? 0,
      usageEvents: down?.usageEvents ?? [],
      provider: rule?.provider ?? providerOfHost(name)?.id ?? null,
      rule: rule?.id ?? null,
      route: rule?.route ?? null,
      traceparent: traceparentOf(head),
    }
    counters.recorded += 1
    exporter.add(exchange)
  }

  return {
    requestHead: (_head, set) => {
      injected = set.map(([header]) => header).filter(header => header !== 'accept-encoding') // response-guard.ts asks
    },
    requestBody: (chunk, from, to) => request.push(chunk.subarray(from, to)),
    responseHead: received => {
      answered = received
      // Frames are counted and never kept: an agent's are masked, so no secret could be found in them.
      const upgraded = received.status === 101
      if (upgraded) request = createBodyTap(null, fields, 'request')
      response = createBodyTap(upgraded ? null : policy.otlp.captureBody, fieldLines(received.text), 'response')
    },
    responseBody: (chunk, from, to) => response?.push(chunk.subarray(from, to)),
    end: ({ fault }) => record(answered?.status ?? 0, fault),
    denied: (status, fault) => record(status, fault),
  }
}

function fieldLines(text: string): string {
  return text.slice(text.indexOf('\r\n') + 2)
}

function traceparentOf(head: RequestHead): string | null {
  const at = head.names.indexOf('traceparent')
  return at < 0 ? null : fieldValue(head, at)
}

const clockOffsetNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint()

/** Nanoseconds since 1970 by a clock that never runs backwards. */
function wallClockNs(): bigint {
  return clockOffsetNs + process.hrtime.bigint()
}
