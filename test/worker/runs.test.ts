import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
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

test('every run has exactly one record, also one whose worker was killed', async t => {
  const home = mkdtempSync(join(tmpdir(), 'runs-'))
  t.after(() => rmSync(home, { recursive: true, force: true }))
  const open = () => openRuns(join(home, 'runs.jsonl'), join(home, 'running'), reason => assert.fail(reason))
  const records = () =>
    readFileSync(join(home, 'runs.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line): RunRecord => JSON.parse(line))

  const first = open()
  first.begin(RECORD)({ ...RECORD, exit: { code: 0, signal: null } })
  first.begin({ ...RECORD, id: 'sb-2' }) // and then its worker is killed
  await first.close()
  writeFileSync(join(home, 'running', 'sb-3'), '{"id":"sb') // cut short by the crash

  await open().close()
  assert.deepEqual(
    records().map(({ id, exit }) => ({ id, exit })),
    [
      { id: 'sb-1', exit: { code: 0, signal: null } },
      { id: 'sb-2', exit: { code: null, signal: 'SIGKILL' } },
    ],
  )
  assert.deepEqual(readdirSync(join(home, 'running')), [])
  await open().close()
  assert.equal(records().length, 2)
})
