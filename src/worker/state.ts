/** The state directory: its version, its lock, and where everything in it lies. Root-only from the first moment. */

import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clrkError, isClrkError, messageOf } from '../errors.ts'
import { tryLock } from '../kernel/syscalls.ts'

/** Raised whenever an older clrk could not read what this one writes. */
const STATE_VERSION = 1

/** What each version needed to become the next: index n brings version n to n + 1. Version 0 had no version file. */
const MIGRATIONS: readonly ((directory: string) => void)[] = [() => {}]

export type State = {
  readonly directory: string
  /** Eight hex digits of the directory's path: names this worker's cgroups among those of others. */
  readonly id: string
  readonly authorities: string
  readonly secrets: string
  readonly audit: string
  /** Records of runs that ended, and a file for each that has not. */
  readonly runs: string
  readonly running: string
  readonly controlSocket: string
  /** Frees the lock. The kernel does, too, when the process ends. */
  readonly close: () => void
}

/**
 * Opens and locks `directory`, made if it is missing. Throws CLRK_STATE_BUSY with the owner's process id,
 * CLRK_STATE_NEWER, or CLRK_ARGUMENT_INVALID where it cannot be a state directory.
 */
export function openState(directory: string): State {
  let lock: number
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    lock = openSync(join(directory, 'worker.pid'), 'a+', 0o600)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw clrkError('CLRK_ARGUMENT_INVALID', {
      argument: `--state ${directory}`,
      reason,
      fix: 'Name a writable directory.',
    })
  }
  try {
    if (!tryLock(lock)) {
      throw clrkError('CLRK_STATE_BUSY', {
        pid: readText(join(directory, 'worker.pid')) || 'unknown',
        state: directory,
      })
    }
    migrate(directory)
    writeFileSync(join(directory, 'worker.pid'), `${process.pid}\n`)
    for (const name of ['ca', 'secrets', 'audit']) mkdirSync(join(directory, name), { recursive: true, mode: 0o700 })
  } catch (error) {
    closeSync(lock)
    if (isClrkError(error)) throw error
    throw clrkError('CLRK_STATE_UNWRITABLE', { file: directory, reason: messageOf(error) })
  }
  return {
    directory,
    id: stateIdOf(directory),
    authorities: join(directory, 'ca'),
    secrets: join(directory, 'secrets'),
    audit: join(directory, 'audit'),
    runs: join(directory, 'runs.jsonl'),
    running: join(directory, 'running'),
    controlSocket: join(directory, 'control.sock'),
    close: () => closeSync(lock),
  }
}

/** `State.id` of a state directory, without opening it. */
export function stateIdOf(directory: string): string {
  return createHash('sha256').update(directory).digest('hex').slice(0, 8)
}

function migrate(directory: string): void {
  const path = join(directory, 'version')
  const text = readText(path)
  const found = text === '' ? 0 : Number(text)
  if (!Number.isInteger(found) || found > STATE_VERSION) {
    throw clrkError('CLRK_STATE_NEWER', { state: directory, found: text, known: STATE_VERSION })
  }
  for (let version = found; version < STATE_VERSION; version++) MIGRATIONS[version]?.(directory)
  if (found !== STATE_VERSION) writeFileSync(path, `${STATE_VERSION}\n`, { mode: 0o600 })
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
