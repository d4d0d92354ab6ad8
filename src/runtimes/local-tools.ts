/** The programs of the host that start a local sandbox. */
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { clrkError } from '../errors.ts'
import { TOOL_PATH } from '../plumbing/tool-path.ts'

/** Absolute paths. */
export type LocalTools = { readonly bwrap: string; readonly nsenter: string; readonly unshare: string }

/** Throws CLRK_TOOL_MISSING that names the Debian package. `path`: directories to look in, parted by colons. */
export function findLocalTools(path: string = TOOL_PATH): LocalTools {
  return {
    bwrap: findTool('bwrap', 'bubblewrap', path),
    nsenter: findTool('nsenter', 'util-linux', path),
    unshare: findTool('unshare', 'util-linux', path),
  }
}

/** The absolute path of one. Throws as `findLocalTools`. */
export function findTool(tool: string, debianPackage: string, path: string = TOOL_PATH): string {
  for (const directory of path.split(':')) {
    const program = join(directory, tool)
    try {
      accessSync(program, constants.X_OK)
      return program
    } catch {
      // in the next one, perhaps
    }
  }
  throw clrkError('CLRK_TOOL_MISSING', { tool, path, package: debianPackage })
}
