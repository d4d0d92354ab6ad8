/**
 * A body that is kept until its request is decided: the very bytes that came, copied together into blocks. Kept as they
 * are read, one byte a segment would cost a buffer of its own.
 */
import type { Answer, BodyReader } from './hooks.ts'

export type KeptBody<F> = {
  readonly reader: BodyReader<F>
  /** All but the last are full. */
  readonly blocks: Buffer[]
  /** Bytes of the last one that are used. */
  used: number
  /** In all. The blocks are at most twice as large, and at most one of `BLOCK_BYTES` larger. */
  bytes: number
}

export function keepBody<F>(reader: BodyReader<F>): KeptBody<F> {
  return { reader, blocks: [], used: 0, bytes: 0 }
}

/** Copies `chunk[0, to)`. An answer: there is no room for it, and nothing was kept of it. */
export function keepBytes<F>(body: KeptBody<F>, chunk: Buffer, to: number): Answer | null {
  const refusal = body.reader.room(to)
  if (refusal !== null) return refusal
  for (let at = 0; at < to; ) {
    let block = body.blocks.at(-1)
    if (block === undefined || body.used === block.length) {
      block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, Math.max(to - at, body.bytes, SMALLEST_BYTES)))
      body.blocks.push(block)
      body.used = 0
    }
    const copied = chunk.copy(block, body.used, at, to)
    at += copied
    body.used += copied
    body.bytes += copied
  }
  return null
}

/** The body is whole: from now on the blocks hold it and nothing else. */
export function sealKept<F>({ blocks, used }: KeptBody<F>): void {
  const last = blocks.pop()
  if (last !== undefined) blocks.push(last.subarray(0, used))
}

/** The next block of a sealed body, which is not kept any longer; null: there is none. */
export function nextKept<F>({ blocks }: KeptBody<F>): Buffer | null {
  return blocks.shift() ?? null
}

const BLOCK_BYTES = 65_536
const SMALLEST_BYTES = 1_024
