/** Writes a planned trust store where sandboxes can be given it. Decides nothing. */
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import { clrkError, messageOf } from '../errors.ts'
import type { TrustFiles, TrustPlan } from './plan.ts'

/**
 * Writes `files` below `directory`, once for each content (that is, for each CA and state of the host's roots), and
 * returns the plan with absolute sources. Everything is readable by any uid: inside a sandbox, the host's root is a
 * stranger. Atomic: what is there is whole, whoever else installs at the same time.
 *
 * Throws CLRK_TRUST_FAILED, also where a parent of `directory` shuts other users out, unless root does the binding (an
 * engine): from below such a one it works for uid 0 and fails for others.
 */
export function installTrust(
  files: TrustFiles,
  directory: string,
  boundBy: 'its own uid' | 'root' = 'its own uid',
): TrustPlan {
  const installed = join(directory, digestOf(files))
  try {
    if (!fs.existsSync(installed)) write(files, directory, installed)
  } catch (error) {
    throw failed(installed, messageOf(error), 'Check that there is room and that this is a directory of clrk alone.')
  }
  for (let parent = fs.realpathSync(directory); boundBy !== 'root'; parent = dirname(parent)) {
    if ((fs.statSync(parent).mode & 0o001) === 0) {
      throw failed(parent, 'other users may not pass through it', `chmod o+x ${parent}, or use another directory.`)
    }
    if (parent === '/') break
  }
  return {
    binds: files.binds.map(({ source, target }) => ({ source: join(installed, source), target })),
    environment: files.environment,
  }
}

function write(files: TrustFiles, directory: string, installed: string): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 })
  const unfinished = join(directory, `.unfinished-${randomBytes(8).toString('hex')}`)
  try {
    makeDirectory(unfinished)
    for (const entry of files.entries) {
      const path = join(unfinished, entry.path)
      if (entry.kind === 'directory') makeDirectory(path)
      else if (entry.kind === 'link') fs.symlinkSync(entry.target, path)
      else {
        fs.writeFileSync(path, entry.bytes, { flag: 'wx' })
        fs.chmodSync(path, 0o644) // whatever the umask
      }
    }
    fs.renameSync(unfinished, installed)
  } catch (error) {
    fs.rmSync(unfinished, { recursive: true, force: true })
    // Somebody else was first: a rename onto a directory that holds something fails.
    if (!fs.existsSync(installed)) throw error
  }
}

function makeDirectory(path: string): void {
  fs.mkdirSync(path)
  fs.chmodSync(path, 0o755)
}

/** Of all that is written; the binds follow from it. */
function digestOf(files: TrustFiles): string {
  const hash = createHash('sha256')
  for (const entry of files.entries) {
    const content = entry.kind === 'file' ? entry.bytes : entry.kind === 'link' ? entry.target : ''
    hash.update(JSON.stringify([entry.path, entry.kind, content.length]))
    hash.update(content)
  }
  return hash.digest('hex').slice(0, 32)
}

function failed(path: string, reason: string, fix: string) {
  return clrkError('CLRK_TRUST_FAILED', { path, reason, fix })
}
