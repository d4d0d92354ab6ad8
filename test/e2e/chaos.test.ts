/**
 * Workers and shards killed at random moments of boots under load: nothing is left, nobody gets out, every run that a
 * worker took has a record. `CLRK_CHAOS_KILLS=100` for a long one; the seed is printed, `CLRK_CHAOS_SEED` repeats it.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { clrkRun, spawnClrkRun, stateOf } from '../world/clrk.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import { createWorld } from '../world/world.ts'

const KILLS = Number(process.env.CLRK_CHAOS_KILLS ?? 8)
const RUNS_AT_ONCE = 3
const ASK = ['curl', '-sS', '-m', '10', '-o', '/dev/null', '-w', '%{http_code}', 'https://echo.example.com/']

test('kill -9 at random moments of boots under load', async t => {
  const seed = Number(process.env.CLRK_CHAOS_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`seed ${seed}`)
  const random = generator(seed)
  const world = await createWorld(t)
  const before = snapshot(world)
  const options = { allow: ['echo.example.com'] }
  const proc = `/proc/${world.machine.init}/root/proc`
  for (let kill = 0; kill < KILLS; kill++) {
    const runs = Array.from({ length: RUNS_AT_ONCE }, () => spawnClrkRun(world, ASK, options))
    await sleep(random() * 900)
    const wanted = random() < 0.5 ? 'src/api/main.ts' : 'src/shard/main.ts'
    const victims = world.machine.processes().filter(({ argv }) => argv.some(word => word.endsWith(wanted)))
    const victim = victims[Math.floor(random() * victims.length)]
    if (victim !== undefined && existsSync(`${proc}/${victim.pid}`))
      await world.host(['kill', '-KILL', `${victim.pid}`])
    for (const run of runs) {
      const { stdout } = await run.exited
      assert.match(stdout, /^(200|000|403)?$/, `after kill ${kill} of ${wanted}`)
    }
  }
  const { code, stdout, stderr } = await clrkRun(world, ASK, options)
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '200' }, stderr)
  await assertNothingLeft(world, before)
  assert.deepEqual(await world.arrivals(), [])

  const records = readFileSync(join(stateOf(world), 'runs.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  const ids = records.map((line): string => JSON.parse(line).id)
  assert.equal(new Set(ids).size, ids.length, 'a run has two records')
  assert.deepEqual(readdirSync(join(stateOf(world), 'running')), [])
})

/** mulberry32: small, seeded, good enough to choose moments. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
