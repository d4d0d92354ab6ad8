/** A request that cannot be decided before its body is there: it is read, kept, and sent as it came. */
import type { BodyReader } from '../http1/hooks.ts'
import { keepBody, keepBytes, nextKept } from '../http1/kept-body.ts'
import { sawRequestBody } from '../http1/observe.ts'
import { answer, broken } from './ending.ts'
import type { Http2Forward, Leg } from './hooks.ts'
import { sendHead } from './outgoing.ts'
import { type Exchange, forget } from './stream.ts'

/** Who waits to be asked for the body is asked: the origin has not seen the request yet. */
export function readBody(exchange: Exchange, reader: BodyReader<Http2Forward>): void {
  const { stream, head, requestDone, deadline, streamIdleMs } = exchange
  exchange.phase = 'read'
  exchange.kept = keepBody(reader)
  deadline.set(streamIdleMs)
  if (head?.expectContinue && !requestDone) sendHead(stream, [':status', '100'], false)
}

export function readMore(exchange: Exchange, chunk: Buffer): void {
  const { kept, deadline, streamIdleMs } = exchange
  if (kept === null) return
  deadline.set(streamIdleMs)
  try {
    kept.reader.payload(chunk, 0, chunk.length)
    const refusal = keepBytes(kept, chunk, chunk.length)
    if (refusal !== null) answer(exchange, refusal)
  } catch (error) {
    broken(exchange, error)
  }
}

/** Sends what the origin takes of what was kept; true: there is no more of it. */
export function sendKept(exchange: Exchange, leg: Leg): boolean {
  const { kept, watch } = exchange
  if (kept === null) return true
  for (let block = nextKept(kept); block !== null; block = nextKept(kept)) {
    exchange.bytesUp += block.length
    sawRequestBody(watch, block, 0, block.length)
    if (!leg.write(block)) return false
  }
  forget(exchange)
  return true
}
