import type { Duplex } from 'node:stream'

/**
 * Writes a head and `chunk[from, to)`, the first bytes of its body, as one record or segment.
 * Returns what `write` returns.
 */
export function writeHead(socket: Duplex, head: string, chunk: Buffer, from: number, to: number): boolean {
  if (from === to) return socket.write(head, 'latin1')
  if (to - from <= COPIED_BYTES) return socket.write(head + chunk.toString('latin1', from, to), 'latin1')
  socket.cork()
  socket.write(head, 'latin1')
  const flushed = socket.write(slice(chunk, from, to))
  socket.uncork()
  return flushed
}

/** A view, and none where the whole chunk is meant. */
export function slice(chunk: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to)
}

/** Up to here, copying the body into the string costs less than a second write. */
export const COPIED_BYTES = 8_192
