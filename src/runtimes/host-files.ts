/** What the planning code may ask about the host's files: so little that a test can answer from a table. */
import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'
import { posix } from 'node:path'

export type HostFiles = {
  /** Without following a link; null where there is nothing that can be shown. */
  readonly kind: (path: string) => 'file' | 'directory' | 'link' | null
  readonly readLink: (path: string) => string
  readonly isExecutable: (path: string) => boolean
  /** Names in a directory; none where it cannot be read. */
  readonly list: (path: string) => readonly string[]
  /** The first line of a regular file, at most 256 bytes; empty where it cannot be read. */
  readonly firstLine: (path: string) => string
}

export const hostFiles: HostFiles = {
  kind: path => {
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined) return null
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : found.isSymbolicLink() ? 'link' : null
  },
  readLink: path => readlinkSync(path),
  isExecutable: path => ((lstatSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o111) !== 0,
  list: path => {
    try {
      return readdirSync(path).sort()
    } catch {
      return []
    }
  },
  firstLine: path => {
    let fd: number
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch {
      return ''
    }
    try {
      const bytes = Buffer.alloc(256)
      const length = readSync(fd, bytes)
      return bytes.toString('latin1', 0, length).split('\n')[0] ?? ''
    } finally {
      closeSync(fd)
    }
  },
}

export type Resolved = {
  /** Absolute, without links; it may name something that does not exist. */
  readonly target: string
  /** Every link on the way, each at a path that itself has no link before its last component. */
  readonly links: readonly string[]
}

/** Follows every link in an absolute `path` as the kernel does (path_resolution(7)), but keeps what is missing. */
export function resolveLinks(files: HostFiles, path: string): Resolved {
  const links: string[] = []
  let resolved = '/'
  const pending = path.split('/').filter(Boolean).reverse()
  for (let component = pending.pop(); component !== undefined; component = pending.pop()) {
    if (component === '.') continue
    if (component === '..') {
      resolved = posix.dirname(resolved)
      continue
    }
    const next = posix.join(resolved, component)
    if (links.length > MAXIMUM_LINKS || files.kind(next) !== 'link') {
      resolved = next
      continue
    }
    links.push(next)
    const text = files.readLink(next)
    if (text.startsWith('/')) resolved = '/'
    pending.push(...text.split('/').filter(Boolean).reverse())
  }
  return { target: resolved, links }
}

/** Is `path` the same as `directory` or below it? Both absolute and normal. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)
}

const MAXIMUM_LINKS = 40
