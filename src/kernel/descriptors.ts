/** Pipes, and what a child inherits: two things that Node does behind closed doors. */
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')
const call = {
  pipe2: libc.func('int pipe2(int *ends, int flags)'),
  // By number: glibc has had a wrapper only since 2.34. 436 on every architecture.
  syscall: libc.func('long syscall(long number, uint32_t first, uint32_t last, uint32_t flags)'),
}

/**
 * A real pipe, both ends close-on-exec. (Node's own `'pipe'` is a socket pair: `echo > /dev/stdout` fails on one.)
 * Throws an Error that names the call and the errno.
 */
export function createPipe(): { readonly read: number; readonly write: number } {
  const ends = new Int32Array(2)
  if (call.pipe2(ends, O_CLOEXEC) !== 0) throw new Error(`pipe2: ${getSystemErrorName(-koffi.errno())}`)
  const [read = -1, write = -1] = ends
  return { read, write }
}

/**
 * Marks every descriptor above 2 of this process close-on-exec, whoever opened it and whatever this process itself was
 * started with (T129); close_range(2), Linux 5.11. What `spawn` is told to pass on is passed on nevertheless.
 */
export function closeAllOnExec(): void {
  if (call.syscall(SYS_close_range, 3, 0xffffffff, CLOSE_RANGE_CLOEXEC) !== 0) {
    throw new Error(`close_range: ${getSystemErrorName(-koffi.errno())}`)
  }
}

const O_CLOEXEC = 0o2000000
const SYS_close_range = 436
const CLOSE_RANGE_CLOEXEC = 4
