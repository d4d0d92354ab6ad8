/**
 * Writes to a descriptor without ever blocking this process's event loop and without making the descriptor
 * non-blocking, which everyone who shares the pipe or terminal would feel. (`process.stdout` blocks on a full pipe.)
 */
import { write } from 'node:fs'
import { Writable } from 'node:stream'

/** A Writable on `descriptor`, which stays open. Errors as write(2) fails, but waits where somebody else made it non-blocking. */
export function descriptorWriter(descriptor: number): Writable {
  const writeAll = (bytes: Buffer, done: (error?: Error | null) => void): void => {
    write(descriptor, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') setTimeout(writeAll, RETRY_MS, bytes, done)
      else if (error) done(error)
      else if (written < bytes.length) writeAll(bytes.subarray(written), done)
      else done()
    })
  }
  return new Writable({ write: (chunk: Buffer, _, done) => writeAll(chunk, done) })
}

const RETRY_MS = 5
