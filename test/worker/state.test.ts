import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openState } from '../../src/worker/state.ts'

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'state-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('a new state is root-only and says its version', t => {
  const path = join(directory(t), 'deep', 'state')
  const state = openState(path)
  t.after(state.close)
  assert.equal(readFileSync(join(path, 'version'), 'utf8'), '1\n')
  for (const name of ['.', 'ca', 'secrets', 'audit']) assert.equal(statSync(join(path, name)).mode & 0o777, 0o700, name)
  for (const name of ['version', 'worker.pid']) assert.equal(statSync(join(path, name)).mode & 0o777, 0o600, name)
})

test('a second worker is refused with the first one’s process id, and a dead one’s lock is free', t => {
  const path = directory(t)
  const open = `import { openState } from ${JSON.stringify(new URL('../../src/worker/state.ts', import.meta.url).href)}
    try { openState(${JSON.stringify(path)}); console.log('opened', process.pid) } catch (error) { console.log(error.message) }`
  const other = () => spawnSync(process.execPath, ['--input-type=module', '-e', open], { encoding: 'utf8' }).stdout
  const state = openState(path)
  assert.match(other(), new RegExp(`^another worker runs with this state: Process ${process.pid} holds ${path}\\.`))
  state.close()
  assert.match(other(), /^opened/)
  openState(path).close() // its owner ended without closing it
})

test('a newer state is refused and left as it is, one without a version is migrated', t => {
  const path = directory(t)
  writeFileSync(join(path, 'version'), '2\n')
  assert.throws(() => openState(path), /belongs to a newer clrk: .* has version 2, this clrk knows 1/)
  assert.equal(readFileSync(join(path, 'version'), 'utf8'), '2\n')
  writeFileSync(join(path, 'version'), 'garbage')
  assert.throws(() => openState(path), /newer clrk/)
  rmSync(join(path, 'version'))
  openState(path).close()
  assert.equal(readFileSync(join(path, 'version'), 'utf8'), '1\n')
})

test('what cannot be a state directory is named', t => {
  const file = join(directory(t), 'file')
  writeFileSync(file, '')
  assert.throws(() => openState(join(file, 'state')), /--state .*file\/state/)
})
