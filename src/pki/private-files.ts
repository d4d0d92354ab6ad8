/**
 * The worker's root-only files: mode 0600 in directories of mode 0700, written whole or not at all. A file that others
 * could have read or changed is refused, never mended in silence.
 *
 * Objects live at `<directory>/<namespace>/<name>`; names follow Kubernetes (RFC 1123 labels), so no path escapes and
 * none begins with the dot of an unfinished write.
 */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import { clrkError, messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const NAME = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/

/** Begins the name of every file that a crash left unfinished. */
export const UNFINISHED = '.unfinished-'

/** Where `namespace/name` lives. Throws CLRK_ARGUMENT_INVALID for anything that is not exactly that. */
export function objectPath(directory: string, object: string): string {
  const [namespace = '', name = '', ...rest] = object.split('/')
  if (rest.length > 0 || !NAMESPACE.test(namespace) || !NAME.test(name)) {
    throw clrkError('CLRK_ARGUMENT_INVALID', {
      argument: JSON.stringify(object.slice(0, 300)),
      reason: 'this is not namespace/name in lower-case letters, digits, dashes and (in the name) dots',
      fix: 'Use a name such as default/anthropic-key.',
    })
  }
  return join(directory, namespace, name)
}

/** Makes `directory` with its parents, and throws CLRK_STATE_DAMAGED if others than we may look into it. */
export function ensurePrivateDirectory(directory: string): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  const stat = fs.lstatSync(directory)
  if (!stat.isDirectory()) throw damaged(directory, 'it is not a directory', `Remove ${directory}.`)
  refuseOthers(directory, stat, '700')
}

/** Writes a new file. False, and nothing changed, if `path` is there already: of several writers one wins. */
export function createPrivateFile(path: string, content: string): boolean {
  return publish(path, content, unfinished => {
    try {
      fs.linkSync(unfinished, path)
      return true
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
      throw error
    } finally {
      fs.unlinkSync(unfinished)
    }
  })
}

/** Writes a file in place of what was there; a reader sees the old content or the new, never a part. */
export function replacePrivateFile(path: string, content: string): void {
  publish(path, content, unfinished => fs.renameSync(unfinished, path))
}

/** The content of a private file, or null if there is none. Throws CLRK_STATE_DAMAGED if others could touch it. */
export function readPrivateFile(path: string): string | null {
  let descriptor: number
  try {
    descriptor = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw damaged(path, `it cannot be opened (${messageOf(error)})`, `Look at ${path}; remove it if it is not yours.`)
  }
  try {
    const stat = fs.fstatSync(descriptor)
    if (!stat.isFile()) throw damaged(path, 'it is not a regular file', `Remove ${path}.`)
    refuseOthers(path, stat, '600')
    if (stat.size > LIMITS.privateFileBytes) throw damaged(path, 'it is too large', `Remove ${path}.`)
    return fs.readFileSync(descriptor, 'utf8')
  } finally {
    fs.closeSync(descriptor)
  }
}

/** CLRK_STATE_DAMAGED; `reason` and `fix` never hold what the file holds. */
export function damaged(file: string, reason: string, fix: string) {
  return clrkError('CLRK_STATE_DAMAGED', { file, reason, fix })
}

function publish<Result>(path: string, content: string, put: (unfinished: string) => Result): Result {
  const directory = dirname(path)
  ensurePrivateDirectory(directory)
  const unfinished = join(directory, UNFINISHED + randomBytes(8).toString('hex'))
  const descriptor = fs.openSync(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    fs.writeFileSync(descriptor, content)
    fs.fsyncSync(descriptor)
  } catch (error) {
    fs.unlinkSync(unfinished)
    throw error
  } finally {
    fs.closeSync(descriptor)
  }
  const result = put(unfinished)
  // The new name is kept only once the directory is on disk as well.
  const parent = fs.openSync(directory, O_RDONLY)
  try {
    fs.fsyncSync(parent)
  } finally {
    fs.closeSync(parent)
  }
  return result
}

function refuseOthers(path: string, stat: fs.Stats, mode: string): void {
  if (stat.uid !== process.geteuid?.()) {
    throw damaged(path, `it belongs to uid ${stat.uid}`, `Who owns it may have read or changed it: remove ${path}.`)
  }
  if ((stat.mode & 0o077) !== 0) {
    throw damaged(
      path,
      'others may read or change it',
      `chmod ${mode} ${path}; if others use this machine, remove it and set its content anew.`,
    )
  }
}
