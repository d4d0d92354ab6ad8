/** Bytes that stream by are collected young: in a process with a shard's flags, no full collection follows from them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

const MODULE = join(import.meta.dirname, '../../src/http1/young-garbage.ts')

/** How many minor and major collections V8 made while 400 MB were read in chunks, after a first 100 MB. */
function collections(flags: readonly string[]): { minor: number; major: number } {
  const script = `
    import { constants, PerformanceObserver } from 'node:perf_hooks'
    import { tookBytes } from ${JSON.stringify(MODULE)}
    const seen = { minor: 0, major: 0 }
    const observer = new PerformanceObserver(list => {
      for (const { detail } of list.getEntries()) {
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) seen.minor++
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) seen.major++
      }
    })
    observer.observe({ entryTypes: ['gc'] })
    const read = async megabytes => {
      for (let chunk = 0; chunk < megabytes * 64; chunk++) {
        tookBytes(new Uint8Array(new ArrayBuffer(16_384)).length)
        if (chunk % 16 === 0) await new Promise(setImmediate)
      }
      await new Promise(setImmediate)
    }
    await read(100)
    seen.minor = seen.major = 0
    await read(400)
    console.log(JSON.stringify(seen))`
  const argv = ['--single-threaded-gc', '--max-semi-space-size=32', ...flags, '--input-type=module', '-e', script]
  return JSON.parse(execFileSync(process.execPath, argv, { encoding: 'utf8' }))
}

test('400 MB in chunks are collected by scavenges alone', () => {
  const { minor, major } = collections(['--expose-gc'])
  assert.equal(major, 0)
  assert.ok(minor >= 45, `${minor}`)
})

test('without the flag V8 marks everything again and again: the test above can fail', () => {
  assert.ok(collections([]).major > 0)
})
