/** CLRK_SANDBOXES=1000 for the proof; its figures are in docs/performance.md. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { manySandboxes } from './many.ts'

const SANDBOXES = Number(process.env.CLRK_SANDBOXES ?? 24)

test(`each of ${SANDBOXES} sandboxes on one worker has its injected request answered while all others live`, async t => {
  const { shares, shardBytes, workerDescriptors } = await manySandboxes(t, SANDBOXES)
  assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, `shards have ${shares}`)
  assert.ok(workerDescriptors <= DESCRIPTORS, `${workerDescriptors} descriptors of the worker for a sandbox`)
  if (SANDBOXES >= ENOUGH) assert.ok(shardBytes <= BYTES, `${shardBytes} bytes of a shard for a sandbox`)
})

/** Of few sandboxes, garbage that is not collected yet is most of it. */
const ENOUGH = 200
const BYTES = 100_000
/** Its namespace, four sockets, its uid range, its user namespace, its streams, its run. */
const DESCRIPTORS = 13
