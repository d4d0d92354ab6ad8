/**
 * Sends what was recorded to an OTLP/HTTP receiver, never in a request's way: recorded in the turn after it, in batches,
 * a bounded queue of them, one export at a time. What cannot be sent is dropped and counted, and said at most once a minute.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type Batch, createBatch } from './batch.ts'
import type { Exchange } from './exchange.ts'
import type { Attribute, Signal } from './otlp.ts'
import { createPost, type Post, targetOf } from './post.ts'
import { createRecorder } from './record.ts'
import { createRedactor } from './redact.ts'

export type ExporterOptions = {
  /** Absolute http(s) URL; without a path `/v1/traces` and `/v1/logs` are appended. Null: nothing is sent. */
  readonly endpoint: string | null
  readonly headers: Readonly<Record<string, string>>
  readonly resource: readonly Attribute[]
  /** One sentence without secrets, at most once a minute. */
  readonly onFailure: (reason: string) => void
}

export type ExporterCounters = {
  /** Exchanges that were turned into a span and a log record. */
  readonly recorded: number
  /** Exchanges that no receiver got: the queue was full, or the export failed. */
  readonly dropped: number
}

export type Exporter = {
  /** Does anybody get what is added? */
  readonly listens: () => boolean
  /** Never throws, never waits; it is turned into records after the event that calls it. */
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
  const report = atMostOnce(REPORT_MS, options.onFailure)
  const secrets = new Set<string>()
  const queue = createQueue()
  let recorder = createRecorder(createRedactor([]))
  let tee: ((signal: Signal, payload: string) => void) | null = null
  let post: Post | null = null
  let waiting: Exchange[] = []
  let batch: Batch | null = null
  let timer: NodeJS.Timeout | null = null
  let sending: Promise<void> | null = null
  let closed = false
  let recorded = 0
  let lost = 0

  /** Right after the events that ended them: no exchange outlives its last response by more than a turn. */
  const record = () => {
    const exchanges = waiting
    waiting = []
    for (const exchange of exchanges) {
      batch ??= createBatch(resource)
      batch.add(recorder.record(exchange))
      recorded += 1
      if (batch.records() >= LIMITS.telemetryBatchRecords || batch.bytes() >= LIMITS.telemetryBatchBytes) seal()
    }
    if (batch !== null) timer ??= setTimeout(() => void flush(), LIMITS.telemetryFlushMs).unref()
  }

  const seal = () => {
    if (batch !== null) queue.put(batch)
    batch = null
    sending ??= drain()
  }

  const exportBatch = async (full: Batch) => {
    const payloads = full.payloads()
    for (const [signal, buffers] of payloads) tee?.(signal, Buffer.concat(buffers).toString('latin1'))
    if (endpoint === null) return
    const failures: unknown[] = []
    for (const [signal, buffers] of payloads) {
      const target = signalTarget(endpoint, signal)
      const send = () => {
        post ??= createPost(new URL(endpoint), headers)
        return post.send(target, buffers)
      }
      await deliver(send, endpoint).catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
    full.recycle()
  }

  /** Ends, in one tick, with the queue empty and `sending` null. */
  const drain = async () => {
    await new Promise(setImmediate)
    for (let full = queue.take(); full !== undefined; full = queue.take()) {
      const records = full.records()
      try {
        await exportBatch(full)
      } catch (error) {
        lost += records
        report(`telemetry of ${records} requests was not exported: ${messageOf(error)}`)
      }
    }
    sending = null
  }

  const flush = async () => {
    if (timer !== null) clearTimeout(timer)
    timer = null
    record()
    if (batch !== null) seal()
    await sending
  }

  return {
    listens: () => endpoint !== null || tee !== null,
    add: exchange => {
      if (closed) lost++
      else if (endpoint !== null || tee !== null) {
        if (waiting.push(exchange) === 1) setImmediate(record)
        else if (waiting.length >= LIMITS.telemetryBatchRecords) record()
      }
    },
    setSecretValues: values => {
      for (const value of values) {
        secrets.delete(value) // the order is that of use, so that the oldest go first
        secrets.add(value)
      }
      for (const oldest of secrets)
        if (secrets.size > Math.max(REMEMBERED_VALUES, values.length)) secrets.delete(oldest)
      recorder = createRecorder(createRedactor([...secrets]))
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
      post?.close()
    },
  }
}

/** First in, first out; past its limits the oldest batches go and their records are counted. */
function createQueue() {
  const batches: Batch[] = []
  let records = 0
  let bytes = 0
  let dropped = 0

  const take = (): Batch | undefined => {
    const oldest = batches.shift()
    records -= oldest?.records() ?? 0
    bytes -= oldest?.bytes() ?? 0
    return oldest
  }

  return {
    put: (batch: Batch) => {
      batches.push(batch)
      records += batch.records()
      bytes += batch.bytes()
      while (records > LIMITS.telemetryQueueRecords || bytes > LIMITS.telemetryQueueBytes) {
        dropped += take()?.records() ?? 0
      }
    },
    take,
    dropped: () => dropped,
  }
}

/** One retry where the connection failed or the answer is one that OTLP/HTTP calls retryable; throws without a success. */
async function deliver(send: () => Promise<number>, endpoint: string): Promise<void> {
  let status = await send().catch(() => null)
  if (status === null || RETRYABLE.has(status)) {
    await sleep(RETRY_MS)
    status = await send()
  }
  if (status < 200 || status > 299) throw new Error(`${new URL(endpoint).host} answered ${status}`)
}

function signalTarget(endpoint: string, signal: Signal): string {
  const url = new URL(endpoint)
  if (url.pathname === '/') url.pathname = `/v1/${signal}`
  return targetOf(url)
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
