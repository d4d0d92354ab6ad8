/** The ids of a span: fresh, and under the agent's own trace where it says one (W3C Trace Context §3.2). */
import { randomBytes } from 'node:crypto'
import type { SpanIds } from './otlp.ts'

/** Fresh ids; the agent's trace and span as parent where its `traceparent` is valid. */
export function spanIds(traceparent: string | null): SpanIds {
  const valid = traceparent !== null && (traceparent.length === 55 || !traceparent.startsWith('00'))
  const parent = valid ? TRACEPARENT.exec(traceparent) : null
  return { traceId: parent?.[1] ?? randomHex(32), spanId: randomHex(16), parentSpanId: parent?.[2] ?? null }
}

let pool = ''
let used = 0

function randomHex(digits: number): string {
  if (used + digits > pool.length) {
    pool = randomBytes(POOL_BYTES).toString('hex')
    used = 0
  }
  used += digits
  return pool.slice(used - digits, used)
}

/** Ids of zeros and version ff are invalid; what follows the flags is for versions after 00. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/
const POOL_BYTES = 4_096
