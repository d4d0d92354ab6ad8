/**
 * What this machine can do, found out by trying. A probe leaves nothing behind and never throws; «could not tell» is
 * not «no»: usually the caller is not root.
 */
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tryLock } from './syscalls.ts'

/** `found`: one sentence without its full stop. `needs`: the command, or the sentence, that mends it. */
export type Probe =
  | { readonly answer: 'yes'; readonly found: string }
  | { readonly answer: 'no' | 'could not tell'; readonly found: string; readonly needs: string }

/** `release`: as uname(2) gives it. Pure. */
export function probeKernel(release: string): Probe {
  const [major = 0, minor = 0] = release.split('.').map(part => Number.parseInt(part, 10))
  if (!(major >= 0 && minor >= 0)) {
    return { answer: 'could not tell', found: `Linux ${release} is of no known version`, needs: NEEDED }
  }
  const isEnough = major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)
  return isEnough
    ? { answer: 'yes', found: `Linux ${release}` }
    : { answer: 'no', found: `Linux ${release} is too old`, needs: NEEDED }
}

/** Can files be made in `directory`, and does a lock on one of them (flock(2)) keep everybody else out? */
export function probeLocks(directory: string): Probe {
  let scratch: string
  try {
    scratch = mkdtempSync(join(directory, '.clrk-doctor-'))
  } catch (error) {
    const found = `${directory} cannot be written (${error instanceof Error && 'code' in error ? error.code : error})`
    return { answer: 'no', found, needs: OTHER_STATE }
  }
  const opened: number[] = []
  const open = () => {
    const descriptor = openSync(join(scratch, 'lock'), 'a', 0o600)
    opened.push(descriptor)
    return descriptor
  }
  try {
    // Two open files of one process: for the kernel they are as foreign to each other as those of two processes.
    return tryLock(open()) && !tryLock(open())
      ? { answer: 'yes', found: `${directory} can be written, and locks hold on it` }
      : { answer: 'no', found: `locks do not hold on the file system of ${directory}`, needs: OTHER_STATE }
  } finally {
    for (const descriptor of opened) closeSync(descriptor)
    rmSync(join(scratch, 'lock'), { force: true })
    rmdirSync(scratch)
  }
}

/** close_range(2) with CLOSE_RANGE_CLOEXEC came with 5.11, ID-mapped mounts (mount_setattr(2)) with 5.12. */
const OLDEST = { major: 5, minor: 12 }
const NEEDED = 'Use Linux 5.12 or newer.'
const OTHER_STATE = 'Name a directory on a local disk: --state DIRECTORY'
