/**
 * Export requests under construction: records are copied into pages of memory outside V8's heap as soon as they are
 * made, so that nothing of an exchange outlives it there, and pages are used again.
 */
import { type Attribute, PAYLOAD_END, payloadStart, type Signal } from './otlp.ts'
import type { Recorded } from './record.ts'

export type Batch = {
  readonly records: () => number
  /** Of both payloads, as encoded. */
  readonly bytes: () => number
  readonly add: (recorded: Recorded) => void
  /** Both payloads, whole; nothing may be added after it. */
  readonly payloads: () => readonly (readonly [Signal, readonly Buffer[]])[]
  /** The payloads were taken over by their reader: their memory may be written to again. */
  readonly recycle: () => void
}

export function createBatch(resource: readonly Attribute[]): Batch {
  const traces = createText(payloadStart('traces', resource))
  const logs = createText(payloadStart('logs', resource))
  let records = 0
  return {
    records: () => records,
    bytes: () => traces.bytes() + logs.bytes(),
    add: ({ span, log }) => {
      const comma = records === 0 ? '' : ','
      traces.write(`${comma}${span}`)
      logs.write(`${comma}${log}`)
      records += 1
    },
    payloads: () => {
      traces.write(PAYLOAD_END)
      logs.write(PAYLOAD_END)
      return [
        ['traces', traces.buffers()],
        ['logs', logs.buffers()],
      ]
    },
    recycle: () => {
      traces.recycle()
      logs.recycle()
    },
  }
}

/** A growing text, of ASCII alone. */
function createText(start: string) {
  const full: Buffer[] = []
  let page = takePage(start.length)
  let used = 0
  let bytes = 0

  const write = (text: string) => {
    if (used + text.length > page.length) {
      full.push(page.subarray(0, used))
      page = takePage(text.length)
      used = 0
    }
    page.write(text, used, 'latin1')
    used += text.length
    bytes += text.length
  }
  write(start)

  return {
    write,
    bytes: () => bytes,
    buffers: (): readonly Buffer[] => [...full, page.subarray(0, used)],
    recycle: () => {
      for (const { buffer } of [...full, page]) {
        if (buffer.byteLength === PAGE_BYTES && spare.length < SPARE_PAGES) spare.push(Buffer.from(buffer))
      }
    },
  }
}

function takePage(bytes: number): Buffer {
  if (bytes > PAGE_BYTES) return Buffer.allocUnsafeSlow(bytes)
  return spare.pop() ?? Buffer.allocUnsafeSlow(PAGE_BYTES)
}

const PAGE_BYTES = 65_536
/** Two batches of small exchanges: one on its way, one being written. */
const SPARE_PAGES = 40
const spare: Buffer[] = []
