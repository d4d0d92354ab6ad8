/** A shard that is quiet holds no garbage of what it did. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'

const IDLE = join(import.meta.dirname, '../../src/shard/idle.ts')

function residentAfterWork(flags: readonly string[]): { after: number; quiet: number } {
  const program = `
    const { collectWhenIdle } = await import(${JSON.stringify(IDLE)})
    const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
    if (globalThis.gc) collectWhenIdle()
    let kept = []
    for (let i = 0; i < 400_000; i++) kept.push({ text: 'x'.repeat(50) + i, bytes: i % 40 ? null : Buffer.alloc(2000, 1) })
    const after = process.memoryUsage.rss()
    kept = null
    for (let tries = 0; tries < 50 && process.memoryUsage.rss() > after / 2; tries++) await sleep(100)
    console.log(JSON.stringify({ after, quiet: process.memoryUsage.rss() }))`
  const argv = [...flags, '--input-type=module', '-e', program]
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

test('what work has left goes back to the machine once it is quiet', () => {
  const { after, quiet } = residentAfterWork(['--expose-gc'])
  assert.ok(quiet < 0.6 * after, `${quiet} of ${after} bytes`)
})

test('without it V8 keeps it: the test can tell', () => {
  const { after, quiet } = residentAfterWork([])
  assert.ok(quiet > 0.6 * after, `${quiet} of ${after} bytes`)
})
