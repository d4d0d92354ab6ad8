/** One exchange as telemetry sees it: heads and slices while they pass, one record when it is over. */
import type { ClrkFault } from '../errors.ts'
import { type Fields, fieldValue, type RequestHead, type ResponseHead } from '../http1/head.ts'
import type { ExchangeObserver } from '../http1/hooks.ts'
import type { ProviderRule } from '../policy/policy.ts'
import { type BodyKind, type BodyTap, createBodyTap } from '../telemetry/body-tap.ts'
import type { Authority, SandboxContext } from './context.ts'
import { subjectOf } from './plan.ts'

/** `denied`: the request was answered by the proxy; no other call follows it but none is needed either. */
export type RecordingObserver = ExchangeObserver & { readonly denied: (status: number, fault: ClrkFault) => void }

export function observeExchange(
  context: SandboxContext,
  authority: Authority,
  head: RequestHead,
  rule: ProviderRule | null,
): RecordingObserver {
  const { gateway, counters } = context
  const exporter = gateway.exporter()
  if (!exporter.listens()) return countOnly(counters)
  const { captureBody } = gateway.policy().otlp
  const startMs = nowMs()
  let request: BodyTap | null = null
  let response: BodyTap | null = null
  let answered: ResponseHead | null = null
  let injected: readonly string[] = NONE

  const record = (status: number, error: ClrkFault | null) => {
    const up = request?.end()
    const down = response?.end()
    counters.recorded += 1
    exporter.add({
      subject: subjectOf(context, authority, rule),
      startMs,
      endMs: nowMs(),
      method: head.method,
      target: head.target,
      status,
      error,
      requestHead: fieldLines(head.text),
      injected,
      responseHead: answered === null ? '' : fieldLines(answered.text),
      requestBody: up?.body ?? EMPTY,
      requestBodyBytes: up?.bytes ?? 0,
      requestTruncated: up?.truncated ?? false,
      responseBody: down?.body ?? EMPTY,
      responseBodyBytes: down?.bytes ?? 0,
      responseTruncated: down?.truncated ?? false,
      responseChunks: down?.chunks ?? 0,
      usageEvents: down?.usageEvents ?? NONE,
      traceparent: firstValue(head, 'traceparent'),
    })
  }

  return {
    requestHead: (_head, set) => {
      // What response-guard.ts asks for is no credential.
      if (set.length > 0) injected = set.map(([header]) => header).filter(header => header !== 'accept-encoding')
    },
    requestBody: (chunk, from, to) => {
      request ??= createBodyTap(answered?.status === 101 ? null : captureBody, kindOf(head), 'request')
      request.push(chunk, from, to)
    },
    responseHead: received => {
      answered = received
      // Frames are counted and never kept: an agent's are masked, so no secret could be found in them.
      const upgraded = received.status === 101
      if (upgraded) request = null
      response = createBodyTap(upgraded ? null : captureBody, kindOf(received), 'response')
    },
    responseBody: (chunk, from, to) => response?.push(chunk, from, to),
    end: ({ fault }) => record(answered?.status ?? 0, fault),
    denied: (status, fault) => record(status, fault),
  }
}

/** Where nobody gets the record, it is only counted. */
function countOnly(counters: SandboxContext['counters']): RecordingObserver {
  const count = () => {
    counters.recorded += 1
  }
  return {
    requestHead: ignore,
    requestBody: ignore,
    responseHead: ignore,
    responseBody: ignore,
    end: count,
    denied: count,
  }
}

function ignore(): void {}

function fieldLines(text: string): string {
  return text.slice(text.indexOf('\r\n') + 2)
}

function kindOf(head: Fields): BodyKind {
  const coding = firstValue(head, 'content-encoding')
  return {
    type: (firstValue(head, 'content-type') ?? '').toLowerCase(),
    encoded: coding !== null && coding !== '' && coding.toLowerCase() !== 'identity',
  }
}

/** The first of that name. */
function firstValue(head: Fields, lowerName: string): string | null {
  const at = head.names.indexOf(lowerName)
  return at < 0 ? null : fieldValue(head, at)
}

const clockOffsetMs = Date.now() - performance.now()

/** Milliseconds since 1970 by a clock that never runs backwards. */
function nowMs(): number {
  return clockOffsetMs + performance.now()
}

const NONE: readonly string[] = []
const EMPTY: readonly Buffer[] = []
