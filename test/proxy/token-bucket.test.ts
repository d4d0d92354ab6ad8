import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tokenBucket } from '../../src/proxy/token-bucket.ts'

test('a burst passes, then only the rate', () => {
  let now = 0
  const bucket = tokenBucket(3, 2, () => now)
  assert.deepEqual([1, 2, 3, 4].map(bucket.take), [true, true, true, false])
  now = 499
  assert.equal(bucket.take(), false)
  now = 1000
  assert.deepEqual([1, 2, 3].map(bucket.take), [true, true, false])
  now = 1_000_000
  assert.deepEqual([1, 2, 3, 4].map(bucket.take), [true, true, true, false])
})
