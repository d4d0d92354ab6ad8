/**
 * A sandbox's place on the worker's tmpfs for what bwrap binds: files of our own making, and mounts of host paths that
 * may lie below a directory that the sandbox's uid cannot enter. All of it may go once bwrap has bound it.
 */
import { closeSync, fstatSync, mkdirSync, openSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mountDescriptor, unmount } from '../kernel/mounts.ts'

export type Stage = {
  /** Shows the file or directory behind a descriptor; returns where. */
  readonly mount: (descriptor: number, options: { readOnly: boolean; idmap: number | null }) => string
  /** Shows `path`, which must not be a link, read-only; returns where. */
  readonly bind: (path: string) => string
  /** Writes a file that any uid may read; returns where. */
  readonly write: (text: string) => string
  /** A descriptor for reading `bytes`, of a file that no path leads to. */
  readonly openBytes: (bytes: Uint8Array) => number
  /** Takes everything away again; who has it bound keeps it. May be called again. */
  readonly clear: () => void
}

/** `directory`: does not exist yet, below a directory that any uid can enter. */
export function createStage(directory: string): Stage {
  mkdirSync(directory, { mode: 0o755 })
  const undo: (() => void)[] = [() => rmdirSync(directory)]
  let count = 0

  function place(make: (path: string) => void, remove: (path: string) => void): string {
    const path = join(directory, String(count++))
    make(path)
    undo.push(() => remove(path))
    return path
  }

  function mount(descriptor: number, options: { readOnly: boolean; idmap: number | null }): string {
    const target = fstatSync(descriptor).isDirectory()
      ? place(path => mkdirSync(path), rmdirSync)
      : place(path => writeFileSync(path, ''), unlinkSync)
    mountDescriptor(descriptor, target, options)
    undo.push(() => unmount(target))
    return target
  }

  return {
    mount,
    bind: path => {
      const descriptor = openSync(path, O_PATH | O_NOFOLLOW)
      try {
        return mount(descriptor, { readOnly: true, idmap: null })
      } finally {
        closeSync(descriptor)
      }
    },
    write: text => place(path => writeFileSync(path, text, { mode: 0o644 }), unlinkSync),
    openBytes: bytes => {
      const path = join(directory, 'bytes')
      writeFileSync(path, bytes, { mode: 0o600 })
      try {
        return openSync(path, 'r')
      } finally {
        unlinkSync(path)
      }
    },
    // Step by step and never recursively: below a mount that failed to go away are somebody's own files.
    clear: () => {
      for (let step = undo.pop(); step !== undefined; step = undo.pop()) step()
    },
  }
}

const O_PATH = 0o10000000
const O_NOFOLLOW = 0o400000
