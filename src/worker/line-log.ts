/** JSON Lines on disk, bounded: files are rotated by size and the oldest is dropped. Root-only. */
import { createWriteStream, renameSync, rmSync, statSync, type WriteStream } from 'node:fs'

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
  let size = sizeOf(path)
  let stream = open()
  let reported = false

  function open(): WriteStream {
    const opened = createWriteStream(path, { flags: 'a', mode: 0o600 })
    opened.on('error', error => {
      if (!reported) failed(`${path}: ${error.message}`)
      reported = true
    })
    return opened
  }

  function rotate(): void {
    stream.end()
    rmSync(`${path}.${files - 1}`, { force: true })
    for (let n = files - 2; n >= 1; n--) renameIfThere(`${path}.${n}`, `${path}.${n + 1}`)
    renameIfThere(path, `${path}.1`)
    size = 0
    reported = false
    stream = open()
  }

  return {
    append: line => {
      const text = `${JSON.stringify(line)}\n`
      if (size + text.length > maximumBytes) rotate()
      if (stream.destroyed) stream = open()
      if (stream.writableLength > maximumBytes) return
      size += Buffer.byteLength(text)
      stream.write(text)
    },
    close: () => new Promise(resolve => (stream.destroyed ? resolve() : stream.end(() => resolve()))),
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}
