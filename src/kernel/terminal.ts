/** Pseudo terminals (pty(7)): what `openpty` does, without a path that somebody else could take. */
import { closeSync, constants, fchmodSync, fchownSync, openSync } from 'node:fs'
import { Readable, Writable } from 'node:stream'
import { ReadStream } from 'node:tty'
import koffi from 'koffi'
import { check } from './check.ts'

const libc = koffi.load('libc.so.6')
const call = {
  ioctlPointer: libc.func('int ioctl(int fd, unsigned long request, void *argument)'),
  tcgetattr: libc.func('int tcgetattr(int fd, void *termios)'),
  tcsetattr: libc.func('int tcsetattr(int fd, int when, void *termios)'),
  cfmakeraw: libc.func('void cfmakeraw(void *termios)'),
  ioctlNumber: libc.func('int ioctl(int fd, unsigned long request, unsigned long argument)'),
}

export type Terminal = {
  /** The program's end: a descriptor to pass on and then close. Close-on-exec. */
  readonly slave: number
  /** What the program prints. Ends once nobody holds the program's end any more. */
  readonly output: Readable
  /** What is typed. Its end types the end-of-file character (^D). */
  readonly input: Writable
  readonly resize: (rows: number, columns: number) => void
  /** Hangs up: the foreground processes get SIGHUP. */
  readonly close: () => void
}

/**
 * Makes the terminal of `fd` raw in both directions and returns what restores it. Node's setRawMode keeps output
 * processing on (ONLCR), which would add a second carriage return to the ones that the inner terminal made.
 */
export function makeRaw(fd: number): () => void {
  const TCSADRAIN = 1
  const before = Buffer.alloc(64) // struct termios: 60 bytes in glibc and musl
  check('tcgetattr', call.tcgetattr(fd, before))
  const raw = Buffer.from(before)
  call.cfmakeraw(raw)
  check('tcsetattr', call.tcsetattr(fd, TCSADRAIN, raw))
  return () => void call.tcsetattr(fd, TCSADRAIN, before)
}

/** A fresh pty of that size whose program end belongs to `owner` (host ids). Throws an Error that names the call. */
export function openTerminal(
  size: { readonly rows: number; readonly columns: number },
  owner: { readonly uid: number; readonly gid: number },
): Terminal {
  const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY)
  let slave = -1
  try {
    check('TIOCSPTLCK', call.ioctlPointer(master, TIOCSPTLCK, Buffer.alloc(4)))
    slave = check(
      'TIOCGPTPEER',
      call.ioctlNumber(master, TIOCGPTPEER, constants.O_RDWR | constants.O_NOCTTY | O_CLOEXEC),
    )
    fchownSync(slave, owner.uid, owner.gid)
    fchmodSync(slave, 0o620)
    resize(master, size.rows, size.columns)
    return terminal(master, slave)
  } catch (error) {
    if (slave !== -1) closeSync(slave)
    closeSync(master)
    throw error
  }
}

function terminal(master: number, slave: number): Terminal {
  const stream = new ReadStream(master)
  const output = new Readable({
    read: () => void stream.resume(),
    destroy: (error, done) => {
      stream.destroy()
      done(error)
    },
  })
  stream.on('data', (chunk: Buffer) => {
    if (!output.push(chunk)) stream.pause()
  })
  // Reading a master whose last slave is closed is EIO, on Linux the end of the file.
  stream.on('error', () => {})
  stream.on('close', () => output.push(null))
  const input = new Writable({
    write: (chunk: Buffer, _encoding, done) => void stream.write(chunk, () => done()),
    final: done => void stream.write(END_OF_FILE, () => done()),
  })
  return {
    slave,
    output,
    input,
    resize: (rows, columns) => {
      if (!stream.destroyed) resize(master, rows, columns)
    },
    close: () => void stream.destroy(),
  }
}

function resize(master: number, rows: number, columns: number): void {
  const size = Buffer.alloc(8) // struct winsize: rows, columns, and two sizes in pixels that nobody fills
  size.writeUInt16LE(rows, 0)
  size.writeUInt16LE(columns, 2)
  check('TIOCSWINSZ', call.ioctlPointer(master, TIOCSWINSZ, size))
}

// asm-generic/ioctls.h: the same on x64 and arm64.
const TIOCSWINSZ = 0x5414
const TIOCSPTLCK = 0x40045431
const TIOCGPTPEER = 0x5441
const O_CLOEXEC = 0o2000000
const END_OF_FILE = '\x04'
