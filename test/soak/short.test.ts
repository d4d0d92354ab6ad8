/** The soak in a short form; `npm run soak` is the long one. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { soak } from './soak.ts'

test('memory and descriptors stay flat under load, and a flood stays with its sandbox (short)', async t => {
  const findings = await soak(t, { bytes: 2e8, connections: 500, floodSeconds: 2 })
  assert.deepEqual(
    findings.filter(({ what, holds }) => !holds && !what.endsWith(', ms')), // a test asserts no time
    [],
  )
})
