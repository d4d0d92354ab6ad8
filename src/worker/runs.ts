/**
 * The journal of runs. Before anything of a run exists, `running/ID` holds its record so far, and, where a next worker
 * may adopt its sandbox, a digest of how it was booted; `running/ID.names` the names that have a virtual address. When
 * nothing of it is left, its record becomes one line of `runs.jsonl` and the files go: a run whose worker was killed has
 * a record, too, and none has two.
 *
 * Written through to the kernel, not to the disk: no sandbox outlives the machine. A record keeps room for its last form,
 * so that a disk that has filled up meanwhile loses none.
 */
import {
  appendFileSync,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { clrkError, messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { RunRecord } from './control.ts'
import { mendLastLine, rotateFiles } from './line-log.ts'

/** One run, from before it boots to after its end. */
export type Journal = {
  /** Keeps the next name that gets a virtual address; called before anybody learns of it. */
  readonly name: (name: string) => void
  /** Keeps what is known by now. */
  readonly update: (record: RunRecord) => void
  /** Call when nothing of the run is left. */
  readonly end: (record: RunRecord) => void
}

/** A run whose worker was killed. Whoever gets it owes it an `end`. */
export type Interrupted = {
  readonly record: RunRecord
  /** What `begin` was given; null also where names could not be kept. */
  readonly digest: string | null
  /** In the order of their virtual addresses. */
  readonly names: readonly string[]
  readonly journal: Journal
}

export type Runs = {
  /** What an earlier worker left, and did not end. */
  readonly interrupted: readonly Interrupted[]
  /**
   * Call before anything of the run exists. `digest`: of all that a sandbox must have in common with it to be it; null
   * where it must not be adopted. Throws CLRK_STATE_UNWRITABLE.
   */
  readonly begin: (record: RunRecord, digest: string | null) => Journal
  /** Has another go at records that a full disk refused; those that it still refuses are the next worker's. */
  readonly close: () => void
}

/** What is in a file of `running/`. `ended`: only its line is missing. */
type Entry = { readonly record: RunRecord; readonly digest: string | null; readonly ended: boolean }

/** `directory` holds what is running, `path` what has ended. `failed` hears of a disk that refuses. */
export function openRuns(path: string, directory: string, failed: (reason: string) => void): Runs {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const unwritten = new Map<string, RunRecord>()

  /** Its files go only when its line is there. */
  function settle(record: RunRecord): void {
    try {
      appendWhole(path, `${JSON.stringify(record)}\n`)
    } catch (error) {
      if (unwritten.size === 0) failed(`${path}: ${messageOf(error)}`)
      unwritten.set(record.id, record)
      return
    }
    unwritten.delete(record.id)
    for (const file of filesOf(record.id)) rmSync(file, { force: true })
  }

  function journalOf(id: string, digest: string | null): Journal {
    const [file, namesFile] = filesOf(id)
    const keep = (record: RunRecord, ended: boolean) => {
      try {
        writeInPlace(file, { record, digest, ended })
      } catch (error) {
        failed(`${file}: ${messageOf(error)}`)
      }
    }
    let keepsNames = digest !== null
    return {
      name: name => {
        if (!keepsNames) return
        try {
          appendFileSync(namesFile, `${name}\n`)
        } catch (error) {
          // The agent goes on; without all of its names it is not to be adopted.
          keepsNames = false
          rmSync(namesFile, { force: true })
          failed(`${namesFile}: ${messageOf(error)}`)
        }
      },
      update: record => keep(record, false),
      end: record => {
        keep(record, true)
        for (const waiting of [...unwritten.values(), record]) settle(waiting)
      },
    }
  }

  function filesOf(id: string): readonly [record: string, names: string] {
    return [join(directory, id), join(directory, `${id}.names`)]
  }

  const interrupted: Interrupted[] = []
  const entries = readdirSync(directory).filter(name => !name.endsWith('.names'))
  const known = entries.length === 0 ? new Set<string>() : recordedIn([path, `${path}.1`])
  for (const id of entries) {
    const [file, namesFile] = filesOf(id)
    const entry = readEntry(file)
    if (entry === null || known.has(id)) for (const left of [file, namesFile]) rmSync(left, { force: true })
    else if (entry.ended) settle(entry.record)
    else {
      const names = readNames(namesFile)
      const digest = names === null ? null : entry.digest
      interrupted.push({ record: entry.record, digest, names: names ?? [], journal: journalOf(id, digest) })
    }
  }

  return {
    interrupted,
    begin: (record, digest) => {
      const [file, namesFile] = filesOf(record.id)
      try {
        writeInPlace(file, { record, digest, ended: false })
        if (digest !== null) appendFileSync(namesFile, '', { mode: 0o600 })
      } catch (error) {
        for (const left of [file, namesFile]) rmSync(left, { force: true })
        throw clrkError('CLRK_STATE_UNWRITABLE', { file, reason: messageOf(error) })
      }
      return journalOf(record.id, digest)
    },
    close: () => {
      for (const record of unwritten.values()) settle(record)
    },
  }
}

/** Blanks behind the JSON are the room for what is written over it. */
function writeInPlace(file: string, entry: Entry): void {
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    const bytes = Buffer.from(JSON.stringify(entry))
    const { size } = fstatSync(fd)
    const whole = Buffer.alloc(Math.max(size, bytes.length + (size === 0 ? ROOM_BYTES : 0)), ' ')
    bytes.copy(whole)
    if (writeSync(fd, whole, 0, whole.length, 0) < whole.length) throw new Error('no space left on device')
  } finally {
    closeSync(fd)
  }
}

/** Null: cut short, so nothing of the run existed yet. */
function readEntry(file: string): Entry | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

/** Null: there is none. A last line that was cut short was never answered to anybody. */
function readNames(file: string): readonly string[] | null {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(0, -1)
  } catch {
    return null
  }
}

/** Ids with a line already: their worker was killed between that and the end of their files. */
function recordedIn(paths: readonly string[]): ReadonlySet<string> {
  const ids = new Set<string>()
  for (const path of paths) {
    try {
      for (const [, id = ''] of readFileSync(path, 'utf8').matchAll(/^\{"id":"([^"]+)"/gm)) ids.add(id)
    } catch {} // there is none
  }
  return ids
}

/** All of `text` or nothing of it. */
function appendWhole(path: string, text: string): void {
  const bytes = Buffer.from(text)
  const size = mendLastLine(path)
  if (size > 0 && size + bytes.length > LIMITS.auditFileBytes) rotateFiles(path, LIMITS.auditFiles)
  const fd = openSync(path, 'a', 0o600)
  try {
    const before = fstatSync(fd).size
    if (writeSync(fd, bytes) === bytes.length) return
    ftruncateSync(fd, before)
    throw new Error('no space left on device')
  } finally {
    closeSync(fd)
  }
}

const ROOM_BYTES = 512
