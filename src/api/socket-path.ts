/**
 * A state directory's control socket under a name that always fits: `sun_path` holds 107 bytes (unix(7)), a state
 * directory may be deeper, so the socket is named through a descriptor of the directory.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { clrkError } from '../errors.ts'

/** The control socket of a state directory. */
export function controlSocket(state: string): string {
  return join(state, 'control.sock')
}

/**
 * `path` through a descriptor that stays open until `close`. Throws as open(2) does, and CLRK_STATE_DAMAGED where somebody
 * else could have put the socket there: who listens on it is told every secret.
 */
export function shortPath(path: string): { readonly path: string; readonly close: () => void } {
  const directory = dirname(path)
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  const { uid, mode } = fstatSync(fd)
  if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) {
    closeSync(fd)
    const reason = uid === process.geteuid?.() ? 'others may write to it' : `it belongs to uid ${uid}`
    const fix = 'Name a directory of your own that nobody else may write to, or one that does not exist yet.'
    throw clrkError('CLRK_STATE_DAMAGED', { file: directory, reason, fix })
  }
  return { path: `/proc/self/fd/${fd}/${basename(path)}`, close: () => closeSync(fd) }
}
