import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { unmount } from '../../src/kernel/mounts.ts'
import { mountTmpfs } from '../../src/kernel/syscalls.ts'
import type { RunRecord } from '../../src/worker/control.ts'
import { openRuns } from '../../src/worker/runs.ts'

const RECORD: RunRecord = {
  id: 'sb-1',
  agentKind: 'Run',
  agent: 'default/true',
  gateway: 'default/run',
  policyDigest: 'd',
  runtime: 'local',
  command: ['true'],
  startedAt: '2026-11-24T00:00:00.000Z',
  endedAt: '2026-11-24T00:00:00.000Z',
  bootMs: 0,
  exit: { code: 125, signal: null },
  connections: 0,
  requests: 0,
  injected: 0,
  denied: 0,
}

test('every run has exactly one record, also one whose worker was killed', t => {
  const { open, running, records } = directory(t)
  const first = open()
  first.begin(RECORD, null).end({ ...RECORD, exit: { code: 0, signal: null } })
  first.begin({ ...RECORD, id: 'sb-2' }, null) // and then its worker is killed
  const adoptable = first.begin({ ...RECORD, id: 'sb-3' }, 'digest')
  adoptable.name('a.example.com')
  adoptable.name('b.example.com')
  adoptable.update({ ...RECORD, id: 'sb-3', bootMs: 7 })
  appendFileSync(join(running, 'sb-3.names'), 'c.exam') // cut short by the crash: nobody was told of it
  writeFileSync(join(running, 'sb-4'), '{"record":{"id":"sb') // so was this: nothing of it existed
  first.close()

  const second = open()
  assert.deepEqual(
    second.interrupted.map(({ record, digest, names }) => ({ id: record.id, bootMs: record.bootMs, digest, names })),
    [
      { id: 'sb-2', bootMs: 0, digest: null, names: [] },
      { id: 'sb-3', bootMs: 7, digest: 'digest', names: ['a.example.com', 'b.example.com'] },
    ],
  )
  for (const { record, journal } of second.interrupted) journal.end({ ...record, exit: KILLED })
  assert.deepEqual(
    records().map(({ id, exit }) => ({ id, exit })),
    [
      { id: 'sb-1', exit: { code: 0, signal: null } },
      { id: 'sb-2', exit: KILLED },
      { id: 'sb-3', exit: KILLED },
    ],
  )
  assert.deepEqual(readdirSync(running), [])
  assert.deepEqual(open().interrupted, [])
  assert.equal(records().length, 3)
})

test('a worker killed between a record and the end of its journal, and a last line cut short', t => {
  const { open, running, records, path } = directory(t)
  open().begin(RECORD, null)
  const journal = readFileSync(join(running, 'sb-1'))
  open().interrupted[0]?.journal.end(RECORD)
  writeFileSync(join(running, 'sb-1'), journal) // as if the kill had come before it was removed
  assert.deepEqual(open().interrupted, [])
  assert.deepEqual(readdirSync(running), [])

  appendFileSync(path, '{"id":"sb-2","agentKi') // the disk was full
  open()
    .begin({ ...RECORD, id: 'sb-2' }, null)
    .end({ ...RECORD, id: 'sb-2' })
  assert.deepEqual(
    records().map(({ id }) => id),
    ['sb-1', 'sb-2'],
  )
})

test('a full disk: no run begins, what runs goes on and is not adopted, no record is lost', t => {
  const { open, home, running, records } = directory(t, { megabytes: 1 })
  const complaints: string[] = []
  const runs = open(reason => complaints.push(reason))
  const running1 = runs.begin(RECORD, 'digest')
  running1.name('a.example.com')
  const fill = () => {
    for (let size = 65_536; size >= 1; size = Math.floor(size / 2)) {
      try {
        for (;;) appendFileSync(join(home, 'filler'), Buffer.alloc(size))
      } catch {}
    }
  }
  fill()
  const full =
    /^Error: the state cannot be written: .*sb-2: ENOSPC: no space left on device.*nothing runs that could not/
  assert.throws(() => runs.begin({ ...RECORD, id: 'sb-2' }, null), full)
  assert.deepEqual(readdirSync(running).sort(), ['sb-1', 'sb-1.names'])
  for (let n = 0; n < 1_000; n++) running1.name(`${n}.example.com`.padStart(250, 'a')) // more than its last block takes
  assert.match(complaints.join(), /ENOSPC/)
  assert.deepEqual(readdirSync(running), ['sb-1'])
  fill()
  running1.end({ ...RECORD, exit: { code: 3, signal: null }, requests: 12_345 })
  runs.close()
  assert.deepEqual(readdirSync(running), ['sb-1'])

  rmSync(join(home, 'filler'))
  assert.deepEqual(open().interrupted, [])
  assert.deepEqual(
    records().map(({ exit, requests }) => ({ exit, requests })),
    [{ exit: { code: 3, signal: null }, requests: 12_345 }],
  )
  assert.deepEqual(readdirSync(running), [])
})

const KILLED = { code: null, signal: 'SIGKILL' } as const

/** A state directory of the test's own; with `megabytes` on a disk of that size. */
function directory(t: TestContext, { megabytes }: { megabytes?: number } = {}) {
  const home = mkdtempSync(join(tmpdir(), 'runs-'))
  if (megabytes !== undefined) mountTmpfs(home, megabytes * 2 ** 20)
  t.after(() => {
    if (megabytes !== undefined) unmount(home)
    rmSync(home, { recursive: true, force: true })
  })
  const [path, running] = [join(home, 'runs.jsonl'), join(home, 'running')]
  return {
    home,
    path,
    running,
    open: (failed: (reason: string) => void = reason => assert.fail(reason)) => openRuns(path, running, failed),
    records: () =>
      readFileSync(path, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line): RunRecord => JSON.parse(line)),
  }
}
