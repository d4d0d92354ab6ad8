import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { findTargets, fuzz } from './run.ts'

const targets = await findTargets()

for (const target of targets) {
  test(`no input breaks ${target.name} (short, seeded)`, () => fuzz(target, target.shortInputs ?? 2000, 1))
}

test('an input that breaks a target is kept, and the message replays it', async () => {
  const run = (bytes: Buffer) => assert.notEqual(bytes.toString(), 'bad')
  const broken = { name: 'broken', seeds: [Buffer.from('bad')], maximumBytes: 8, run }
  await assert.rejects(
    () => fuzz(broken, 0, 1),
    (error: Error) => {
      const file = /run\.ts broken --repro (\/.*\/broken\.bin)$/.exec(error.message)?.[1] ?? ''
      assert.equal(readFileSync(file, 'utf8'), 'bad')
      rmSync(dirname(file), { recursive: true })
      return true
    },
  )
})

test('targets run apart, from the seed that was given', () => {
  const run = ['names', 'addresses', '--seconds', '0.1', '--seed', '7']
  const { status, stdout } = spawnSync(process.execPath, [join(import.meta.dirname, 'run.ts'), ...run])
  assert.equal(status, 0)
  assert.match(String(stdout), /^2 targets, .*seed 7$/m)
  for (const name of ['names', 'addresses']) {
    assert.match(String(stdout), new RegExp(`^${name}: no finding in \\d+000 inputs, seeds 7 to \\d+$`, 'm'))
  }
})
