/** V8 is asked for a young collection each 8 MiB of what is read, and a shard's flags let it be asked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tookBytes } from '../../src/http1/young-garbage.ts'
import { FLAGS } from '../../src/worker/shard-spec.ts'

test('400 MiB in chunks are fifty young collections, at once, and no full one', t => {
  const asked: unknown[] = []
  const before = globalThis.gc
  globalThis.gc = (async (options: unknown) => void asked.push(options)) as typeof globalThis.gc
  t.after(() => {
    globalThis.gc = before
  })
  for (let chunk = 0; chunk < 25_600; chunk++) tookBytes(16_384)
  assert.deepEqual(asked, Array(50).fill({ type: 'minor', execution: 'sync' }))
})

test('a shard may ask', () => {
  assert.ok(FLAGS.includes('--expose-gc'))
})
