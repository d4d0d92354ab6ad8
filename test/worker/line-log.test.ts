import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openLineLog } from '../../src/worker/line-log.ts'

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'line-log-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const never = (reason: string) => assert.fail(reason)

test('lines are kept over restarts, for root alone', async t => {
  const path = join(directory(t), 'audit.jsonl')
  for (const n of [1, 2]) {
    const log = openLineLog(path, 1_000, 3, never)
    log.append({ n })
    await log.close()
  }
  assert.equal(readFileSync(path, 'utf8'), '{"n":1}\n{"n":2}\n')
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

test('it never grows past its files and their size, and no line is torn', async t => {
  const home = directory(t)
  const log = openLineLog(join(home, 'audit.jsonl'), 1_000, 3, never)
  for (let n = 0; n < 200; n++) log.append({ n, text: 'ü'.repeat(10) })
  await log.close()
  const files = readdirSync(home).sort()
  assert.deepEqual(files, ['audit.jsonl', 'audit.jsonl.1', 'audit.jsonl.2'])
  const numbers = ['audit.jsonl.2', 'audit.jsonl.1', 'audit.jsonl'].flatMap(name => {
    assert.ok(statSync(join(home, name)).size <= 1_000)
    return readFileSync(join(home, name), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line).n)
  })
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, at) => 200 - numbers.length + at),
  )
})

test('a disk that refuses is said once and stops nobody', async t => {
  const failures: string[] = []
  const log = openLineLog(join(directory(t), 'missing', 'audit.jsonl'), 1_000, 3, reason => failures.push(reason))
  for (let n = 0; n < 5; n++) {
    log.append({ n })
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  await log.close()
  assert.equal(failures.length, 1)
  assert.match(failures[0] ?? '', /audit\.jsonl: ENOENT/)
})
