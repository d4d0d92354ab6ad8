import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { takeUidRange } from '../../src/runtimes/uid-range.ts'
import { readUntil } from './sandboxes.ts'

test('a range lies outside of what /etc/subuid hands out and below 2^31', async t => {
  for (const slot of [0, 4095]) {
    const range = await takeUidRange(slot)
    t.after(range.release)
    assert.ok(range.base >= 0x70000000 && range.base + range.count <= 0x80000000)
  }
})

test('a range that another process holds is passed over, and free again when that process is killed', async t => {
  const program = `
    import { takeUidRange } from '${import.meta.dirname}/../../src/runtimes/uid-range.ts'
    console.log((await takeUidRange(77)).base)
    setInterval(() => {}, 1000)`
  const other = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const theirs = Number(await readUntil(other.stdout, /\n/))
  const ours = await takeUidRange(77)
  t.after(ours.release)
  assert.deepEqual([theirs, ours.base], [0x70000000 + 77 * 65536, 0x70000000 + 78 * 65536])

  other.kill('SIGKILL')
  await once(other, 'exit')
  const again = await takeUidRange(77)
  t.after(again.release)
  assert.equal(again.base, theirs)
})
