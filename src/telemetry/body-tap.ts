/**
 * What telemetry keeps of one body while it streams by: slices, never copies, up to a cap; past it only counts.
 *
 * A push costs nanoseconds once the cap is reached. Kept slices pin the buffers that they are cut from, so the caller
 * must not reuse those. What is pushed is content: chunked framing is taken off before.
 */
import type { OtlpExport } from '../policy/policy.ts'
import { isEventStream, isStream } from './heads.ts'

export type TappedBody = {
  /** What was kept, in order: the first bytes, or the last of a stream's. */
  readonly body: readonly Buffer[]
  /** On the wire, in all. */
  readonly bytes: number
  readonly truncated: boolean
  readonly chunks: number
  /** Of an event stream in the clear, as latin1: the data of the first and of the last event that states a usage. */
  readonly usageEvents: readonly string[]
}

export type BodyTap = {
  /** The payload `chunk[from, to)`. */
  readonly push: (chunk: Buffer, from: number, to: number) => void
  readonly end: () => TappedBody
}

/** What a head says of its body: the content type, lower case, and whether it is compressed. */
export type BodyKind = { readonly type: string; readonly encoded: boolean }

/**
 * A tap for a body.
 *
 * `capture`: at most `maxBytes` of the content types that begin with one of `includeContentTypes`; null: nothing.
 * Streams of a response (`text/event-stream`, `application/x-ndjson`, `application/vnd.amazon.eventstream`) keep their
 * end, everything else its beginning. Neither function throws.
 */
export function createBodyTap(
  capture: OtlpExport['captureBody'],
  { type, encoded }: BodyKind,
  direction: 'request' | 'response',
): BodyTap {
  const cap = capture?.includeContentTypes.some(prefix => type.startsWith(prefix.toLowerCase())) ? capture.maxBytes : 0
  const keepsEnd = direction === 'response' && isStream(type)
  const scanner = keepsEnd && isEventStream(type) && !encoded ? createUsageScanner() : null
  let kept: Buffer[] = []
  let first = 0
  let held = 0
  let bytes = 0
  let chunks = 0

  const keepEnd = (slice: Buffer) => {
    kept.push(slice)
    held += slice.length
    for (let oldest = kept[first]; oldest !== undefined && held - oldest.length >= cap; oldest = kept[first]) {
      held -= oldest.length
      first++
    }
    if (first < COMPACT_SLICES) return
    kept = kept.slice(first)
    first = 0
  }

  return {
    push: (chunk, from, to) => {
      chunks++
      bytes += to - from
      if (keepsEnd ? cap === 0 && scanner === null : held >= cap) return
      const slice = view(chunk, from, keepsEnd ? to : Math.min(to, from + cap - held))
      scanner?.push(slice)
      if (cap === 0 || slice.length === 0) return
      if (keepsEnd) return keepEnd(slice)
      kept.push(slice)
      held += slice.length
    },
    end: () => {
      const body = kept.slice(first)
      const [oldest] = body
      if (oldest !== undefined && held > cap) body[0] = oldest.subarray(held - cap)
      return { body, bytes, chunks, truncated: cap > 0 && bytes > cap, usageEvents: scanner?.events() ?? NONE }
    },
  }
}

/** A view, and none where the whole chunk is meant. */
function view(chunk: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to)
}

/**
 * Finds the events that state a usage in a stream of `text/event-stream` bytes (WHATWG HTML §9.2.6; one `data:` line
 * an event, as every provider sends), cut anywhere. It holds one unfinished line and two events, and gives up on a
 * line past `LINE_BYTES`.
 */
function createUsageScanner(): { push: (chunk: Buffer) => void; events: () => readonly string[] } {
  let unfinished: Buffer[] = []
  let unfinishedBytes = 0
  let overlong = false
  let first: string | null = null
  let last: string | null = null

  const read = (lines: string) => {
    for (const line of lines.split('\n')) {
      if (!line.startsWith('data:') || !STATES_USAGE.test(line)) continue
      const data = line.slice(5).trim()
      if (first === null) first = data
      else last = data
    }
  }

  return {
    push: chunk => {
      const end = chunk.lastIndexOf(LF)
      if (end !== -1) {
        const start = overlong ? chunk.indexOf(LF) : 0
        const lines = chunk.subarray(start, end + 1)
        const whole = unfinished.length === 0 ? lines : Buffer.concat([...unfinished, lines])
        if (whole.includes('"usage')) read(whole.toString('latin1'))
        unfinished = []
        unfinishedBytes = 0
        overlong = false
      }
      const rest = chunk.subarray(end + 1)
      if (rest.length === 0 || overlong) return
      unfinishedBytes += rest.length
      overlong = unfinishedBytes > LINE_BYTES
      if (overlong) unfinished = []
      else unfinished.push(rest)
    },
    events: () => [first, last].filter(event => event !== null),
  }
}

const NONE: readonly string[] = []
const STATES_USAGE = /"usage(?:Metadata)?"\s*:\s*\{/
const LF = 10
/** A whole answer of /v1/responses stands in its last event, text and all. */
const LINE_BYTES = 1_048_576
/** Dropped slices are let go in batches, so that dropping one costs the same for any number. */
const COMPACT_SLICES = 1_024
