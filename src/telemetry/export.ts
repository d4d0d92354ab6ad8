/**
 * Sends what was recorded to an OTLP/HTTP receiver, never in a request's way: a bounded queue, batches in their own
 * tick, one export at a time. What cannot be sent is dropped and counted, and said at most once a minute.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type Attribute, encode, type Recorded } from './otlp.ts'
import { type Exchange, recordExchange } from './record.ts'
import { createRedactor, type Redactor } from './redact.ts'

export type Signal = 'traces' | 'logs'

/** One POST; resolves with the status of the answer, rejects where there is none. */
export type Send = (url: string, headers: Readonly<Record<string, string>>, payload: string) => Promise<number>

export type ExporterOptions = {
  /** Absolute http(s) URL; without a path `/v1/traces` and `/v1/logs` are appended. Null: nothing is sent. */
  readonly endpoint: string | null
  readonly headers: Readonly<Record<string, string>>
  readonly resource: readonly Attribute[]
  /** One sentence without secrets, at most once a minute. */
  readonly onFailure: (reason: string) => void
  readonly send?: Send
}

export type ExporterCounters = {
  /** Exchanges that were turned into a span and a log record. */
  readonly recorded: number
  /** Exchanges that no receiver got: the queue was full, or the export failed. */
  readonly dropped: number
}

export type Exporter = {
  /** O(1); never throws, never waits. */
  readonly add: (exchange: Exchange) => void
  /** The values (latin1) that are never recorded; those of earlier calls stay known, because records may hold them. */
  readonly setSecretValues: (values: readonly string[]) => void
  /** Somebody who gets every payload as well, or null. */
  readonly setTee: (tee: ((signal: Signal, payload: string) => void) | null) => void
  readonly counters: () => ExporterCounters
  /** Resolves when everything added before was sent or dropped. */
  readonly flush: () => Promise<void>
  /** Flushes, then lets go of its connections; whatever is added later is dropped. Again: nothing. */
  readonly close: () => Promise<void>
}

export function createExporter(options: ExporterOptions): Exporter {
  const { endpoint, headers, resource } = options
  const agent = new Agent({
    connections: 1,
    headersTimeout: LIMITS.telemetryExportMs,
    bodyTimeout: LIMITS.telemetryExportMs,
  })
  const send = options.send ?? post(agent)
  const report = atMostOnce(REPORT_MS, options.onFailure)
  const queue = createQueue()
  const secrets = new Set<string>()
  let redactor = createRedactor([])
  let tee: ((signal: Signal, payload: string) => void) | null = null
  let timer: NodeJS.Timeout | null = null
  let sending: Promise<void> | null = null
  let closed = false
  let recorded = 0
  let lost = 0

  const exportBatch = async (exchanges: readonly Exchange[]) => {
    const { traces, logs } = encode(resource, recordAll(exchanges, redactor))
    recorded += exchanges.length
    const payloads: [Signal, string][] = [
      ['traces', traces],
      ['logs', logs],
    ]
    for (const [signal, payload] of payloads) tee?.(signal, payload)
    if (endpoint === null) return
    const failures: unknown[] = []
    for (const [signal, payload] of payloads) {
      await deliver(send, signalUrl(endpoint, signal), headers, payload).catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
  }

  /** Started on a queue that is not empty; ends, in one tick, with the queue empty and `sending` null. */
  const drain = async () => {
    for (let batch = queue.take(); batch.length > 0; batch = queue.take()) {
      await new Promise(setImmediate)
      try {
        await exportBatch(batch)
      } catch (error) {
        lost += batch.length
        report(`telemetry of ${batch.length} requests was not exported: ${messageOf(error)}`)
      }
    }
    sending = null
  }

  const flush = async () => {
    if (timer !== null) clearTimeout(timer)
    timer = null
    if (sending === null && !queue.isEmpty()) sending = drain()
    await sending
  }

  return {
    add: exchange => {
      if (closed) lost++
      else if (endpoint !== null || tee !== null) {
        queue.put(exchange)
        if (queue.holdsBatch() && sending === null) void flush()
        else timer ??= setTimeout(() => void flush(), LIMITS.telemetryFlushMs).unref()
      }
    },
    setSecretValues: values => {
      for (const value of values) {
        secrets.delete(value) // the order is that of use, so that the oldest go first
        secrets.add(value)
      }
      for (const oldest of secrets)
        if (secrets.size > Math.max(REMEMBERED_VALUES, values.length)) secrets.delete(oldest)
      redactor = createRedactor([...secrets])
    },
    setTee: given => {
      tee = given
    },
    counters: () => ({ recorded, dropped: lost + queue.dropped() }),
    flush,
    close: async () => {
      if (closed) return
      closed = true
      await flush()
      await agent.close()
    },
  }
}

function* recordAll(exchanges: readonly Exchange[], redactor: Redactor): Iterable<Recorded> {
  for (const exchange of exchanges) yield recordExchange(exchange, redactor)
}

/** First in, first out; past its limits the oldest go and are counted. */
function createQueue() {
  let waiting: Exchange[] = []
  let first = 0
  let bytes = 0
  let dropped = 0

  const shift = (): Exchange | undefined => {
    const oldest = waiting[first]
    if (oldest === undefined) return undefined
    first++
    bytes -= sizeOf(oldest)
    if (first >= LIMITS.telemetryQueueRecords || first === waiting.length) {
      waiting = waiting.slice(first)
      first = 0
    }
    return oldest
  }

  return {
    put: (exchange: Exchange) => {
      waiting.push(exchange)
      bytes += sizeOf(exchange)
      while (waiting.length - first > LIMITS.telemetryQueueRecords || bytes > LIMITS.telemetryQueueBytes) {
        if (shift() === undefined) return
        dropped++
      }
    },
    /** The oldest, up to a batch's records and bytes, at least one where there is one. */
    take: (): Exchange[] => {
      const batch: Exchange[] = []
      for (let size = 0; batch.length < LIMITS.telemetryBatchRecords && size < LIMITS.telemetryBatchBytes; ) {
        const exchange = shift()
        if (exchange === undefined) break
        batch.push(exchange)
        size += sizeOf(exchange)
      }
      return batch
    },
    isEmpty: () => first === waiting.length,
    holdsBatch: () => waiting.length - first >= LIMITS.telemetryBatchRecords || bytes >= LIMITS.telemetryBatchBytes,
    dropped: () => dropped,
  }
}

function sizeOf({ requestHead, responseHead, requestBody, responseBody }: Exchange): number {
  let bytes = requestHead.length + responseHead.length
  for (const slice of requestBody) bytes += slice.length
  for (const slice of responseBody) bytes += slice.length
  return bytes
}

/** One retry where the connection failed or the answer is one that OTLP/HTTP calls retryable; throws without a success. */
async function deliver(send: Send, url: string, headers: Readonly<Record<string, string>>, payload: string) {
  const attempt = () => send(url, { ...headers, 'content-type': 'application/json' }, payload)
  let status = await attempt().catch(() => null)
  if (status === null || RETRYABLE.has(status)) {
    await sleep(RETRY_MS)
    status = await attempt()
  }
  if (status < 200 || status > 299) throw new Error(`${new URL(url).host} answered ${status}`)
}

function post(dispatcher: Agent): Send {
  return async (url, headers, payload) => {
    const { statusCode, body } = await request(url, { method: 'POST', headers, body: payload, dispatcher })
    await body.dump()
    return statusCode
  }
}

function signalUrl(endpoint: string, signal: Signal): string {
  const url = new URL(endpoint)
  if (url.pathname === '/') url.pathname = `/v1/${signal}`
  return url.href
}

function atMostOnce(milliseconds: number, report: (reason: string) => void): (reason: string) => void {
  let last = Number.NEGATIVE_INFINITY
  return reason => {
    const now = performance.now()
    if (now - last < milliseconds) return
    last = now
    report(reason)
  }
}

const RETRYABLE = new Set([429, 502, 503, 504])
const RETRY_MS = 500
const REPORT_MS = 60_000
const REMEMBERED_VALUES = 256
