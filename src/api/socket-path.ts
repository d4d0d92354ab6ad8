/**
 * A state directory's control socket under a name that always fits: `sun_path` holds 107 bytes (unix(7)), a state
 * directory may be deeper, so the socket is named through a descriptor of the directory.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The control socket of a state directory. */
export function controlSocket(state: string): string {
  return join(state, 'control.sock')
}

/** `path` through a descriptor that stays open until `close`. Throws as open(2) does. */
export function shortPath(path: string): { readonly path: string; readonly close: () => void } {
  const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${fd}/${basename(path)}`, close: () => closeSync(fd) }
}
