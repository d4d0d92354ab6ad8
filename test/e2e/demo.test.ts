/** `npm run demo`: the main job with visible output, and nothing left of it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { REPOSITORY } from '../world/clrk.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import { createWorld } from '../world/world.ts'

test('the demo answers, exits 0 and leaves nothing', async t => {
  const world = await createWorld(t)
  const before = snapshot(world)
  const { code, stdout, stderr } = await world.host(['npm', 'run', 'demo'], { cwd: REPOSITORY, timeoutMs: 120_000 })
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  assert.match(stdout, /tokens/)
  assert.match(stdout, /otel-traces/)
  assert.match(stdout, /\[redacted\]/)
  assert.doesNotMatch(stdout + stderr, /sk-ant-/)
  assert.deepEqual(await world.arrivals(), [])
  await assertNothingLeft(world, before)
})
