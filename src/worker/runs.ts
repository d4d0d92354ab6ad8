/**
 * The records of runs: one line each in `runs.jsonl`. A run is journalled before it boots, so that one whose worker was
 * killed has a record, too: the next worker writes it.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import type { RunRecord } from './control.ts'
import { openLineLog } from './line-log.ts'

export type Runs = {
  /** Call before anything of the run exists; the returned function after nothing of it is left. */
  readonly begin: (record: RunRecord) => (ended: RunRecord) => void
  readonly close: () => Promise<void>
}

/** `directory` holds what is running, `path` what has ended. `failed` hears of a disk that refuses. */
export function openRuns(path: string, directory: string, failed: (reason: string) => void): Runs {
  const log = openLineLog(path, LIMITS.auditFileBytes, LIMITS.auditFiles, failed)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(directory)) {
    const left = readRecord(join(directory, name))
    if (left !== null)
      log.append({ ...left, endedAt: new Date().toISOString(), exit: { code: null, signal: 'SIGKILL' } })
    rmSync(join(directory, name), { force: true })
  }
  return {
    begin: record => {
      const file = join(directory, record.id)
      writeFileSync(file, JSON.stringify(record), { mode: 0o600 })
      return ended => {
        log.append(ended)
        rmSync(file, { force: true })
      }
    },
    close: log.close,
  }
}

/** Null: cut short by the crash itself. */
function readRecord(file: string): RunRecord | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}
