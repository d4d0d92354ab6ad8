/** JSON Lines on disk, bounded: files are rotated by size and the oldest is dropped. Root-only. */
import {
  closeSync,
  constants,
  createWriteStream,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type WriteStream,
} from 'node:fs'
import { messageOf } from '../errors.ts'

export type LineLog = {
  readonly append: (line: object) => void
  /** Resolves when everything appended is with the kernel. */
  readonly close: () => Promise<void>
}

/**
 * Appends to `path`; past `maximumBytes` it becomes `path.1`, and so on up to `files`. A disk that refuses is reported
 * once through `failed`, and lines are dropped until it takes them again: a full disk must not stop the agents.
 */
export function openLineLog(
  path: string,
  maximumBytes: number,
  files: number,
  failed: (reason: string) => void,
): LineLog {
  let size = 0
  let reported = false
  let stream = open()

  function report(error: unknown): void {
    if (!reported) failed(`${path}: ${messageOf(error)}`)
    reported = true
  }

  /** Opened at once, so that a rename never takes another file's name; null where that fails. */
  function open(): WriteStream | null {
    try {
      size = mendLastLine(path)
      const opened = createWriteStream(path, { fd: openSync(path, 'a', 0o600) })
      opened.on('error', report)
      return opened
    } catch (error) {
      report(error)
      return null
    }
  }

  function rotate(): void {
    stream?.end()
    try {
      rotateFiles(path, files)
    } catch (error) {
      report(error)
    }
    stream = open()
  }

  return {
    append: line => {
      const text = `${JSON.stringify(line)}\n`
      const bytes = Buffer.byteLength(text)
      if (size > 0 && size + bytes > maximumBytes) rotate()
      if (stream === null || stream.destroyed) stream = open()
      if (stream === null || stream.writableLength > maximumBytes) return
      size += bytes
      stream.write(text)
    },
    close: () =>
      new Promise(resolve => (stream === null || stream.destroyed ? resolve() : stream.end(() => resolve()))),
  }
}

/** `path` becomes `path.1`, and so on up to `files`; the oldest is dropped. */
export function rotateFiles(path: string, files: number): void {
  rmSync(`${path}.${files - 1}`, { force: true })
  for (let n = files - 2; n >= 1; n--) renameIfThere(`${path}.${n}`, `${path}.${n + 1}`)
  renameIfThere(path, `${path}.1`)
}

/**
 * Takes off a last line that a crash or a full disk cut short, so that the next one does not continue it. Gives the size
 * of the file, which is made if it is missing.
 */
export function mendLastLine(path: string): number {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    const { size } = fstatSync(fd)
    let end = size
    const byte = Buffer.alloc(1)
    const endsLine = () => end === 0 || (readSync(fd, byte, 0, 1, end - 1) === 1 && byte[0] === NEWLINE)
    while (!endsLine()) end -= 1
    if (end < size) ftruncateSync(fd, end)
    return end
  } finally {
    closeSync(fd)
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

const NEWLINE = 10
