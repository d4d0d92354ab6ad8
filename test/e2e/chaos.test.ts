/**
 * Workers, shards and the engine killed at random moments of boots under load: nothing is left, nobody gets out, every
 * run that a worker took has a record. A long one, of which the printed seed (CLRK_CHAOS_SEED) repeats the moments:
 *
 *   CLRK_CHAOS_KILLS=100 sh src/clrk --node --test --test-timeout=1800000 test/e2e/chaos.test.ts
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ClrkRun, clrkRun, spawnClrkRun, stateOf } from '../world/clrk.ts'
import { IMAGE, withEngineWorld } from '../world/engine-world.ts'
import { eventually } from '../world/eventually.ts'
import { assertNothingLeft, type Snapshot, snapshot } from '../world/leaks.ts'
import { createWorld, type World } from '../world/world.ts'

const KILLS = Number(process.env.CLRK_CHAOS_KILLS ?? 8)
const RUNS_AT_ONCE = 3
const ASK = ['curl', '-sS', '-m', '10', '-o', '/dev/null', '-w', '%{http_code}', 'https://echo.example.com/']

test('kill -9 at random moments of boots under load', async t => {
  const random = seeded(t)
  const world = await createWorld(t)
  const before = snapshot(world)
  const options = { allow: ['echo.example.com'] }
  for (let kill = 0; kill < KILLS; kill++) {
    const runs = Array.from({ length: RUNS_AT_ONCE }, () => spawnClrkRun(world, ASK, options))
    await sleep(random() * 900)
    await killOne(world, random, [WORKER, SHARD])
    await assertEnded(runs, kill)
  }
  await assertWorks(world, options)
  await assertRecords(world)
  await assertNothingLeft(world, before)
})

test('the same with agents in images, and with the engine among the victims', async t => {
  const random = seeded(t)
  await withEngineWorld(t, ['/usr/bin/curl'], async ({ world, engine, env }) => {
    const local = { allow: ['echo.example.com'], env }
    const image = { ...local, arguments: ['--image', IMAGE] }
    await assertWorks(world, image)
    const before = snapshot(world)
    for (let kill = 0; kill < KILLS; kill++) {
      const runs = [image, local, image].map(options => spawnClrkRun(world, ASK, options))
      await sleep(random() * 2_000)
      if (random() < 0.3) {
        await engine.kill()
        await sleep(random() * 500)
        await engine.start()
      } else await killOne(world, random, [WORKER, SHARD])
      await assertEnded(runs, kill)
    }
    await assertWorks(world, image)
    await eventually(async () => ((await engine.docker.listContainers({ all: true })).length === 0 ? true : null))
    await assertRecords(world)
    await assertNothingLeft(world, withEngineOf(before, snapshot(world)))
  })
})

const WORKER = 'src/api/main.ts'
const SHARD = 'src/shard/main.ts'

async function killOne(world: World, random: () => number, programs: readonly string[]): Promise<void> {
  const wanted = programs[Math.floor(random() * programs.length)] ?? WORKER
  const victims = world.machine.processes().filter(({ argv }) => argv.some(word => word.endsWith(wanted)))
  const victim = victims[Math.floor(random() * victims.length)]
  if (victim !== undefined && existsSync(`/proc/${world.machine.init}/root/proc/${victim.pid}`))
    await world.host(['kill', '-KILL', `${victim.pid}`])
}

/**
 * The engine was started anew: its processes and sockets are others by now. A shim that it had just made when it was
 * killed is forgotten by it (containerd 1.6; some three of thirty kills); what would run in it is seen itself. So is the
 * layer that it had mounted to prepare a container's.
 */
function withEngineOf(before: Snapshot, after: Snapshot): Snapshot {
  const isProcess = (it: string) => /^\d+ (\S*\/)?(dockerd|containerd|containerd-shim-runc-v2) /.test(it)
  const isSocket = (it: string) => /^@[0-9a-f]+$|\/libnetwork\/|\/run\/containerd\/s\//.test(it)
  const isLayer = (it: string) => /^\/ \S+\/overlay2\/\w+-init\/merged /.test(it)
  return {
    ...before,
    mounts: [...before.mounts, ...after.mounts.filter(isLayer)],
    processes: [...before.processes, ...after.processes.filter(isProcess)],
    sockets: [...before.sockets, ...after.sockets.filter(isSocket)],
    files: [...before.files, ...after.files.filter(isSocket)],
  }
}

async function assertEnded(runs: readonly ReturnType<typeof spawnClrkRun>[], kill: number): Promise<void> {
  for (const run of runs) {
    const { stdout } = await run.exited
    assert.match(stdout, /^(200|000|403)?$/, `after kill ${kill}`)
  }
}

async function assertWorks(world: World, options: ClrkRun): Promise<void> {
  const { code, stdout, stderr } = await clrkRun(world, ASK, options)
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '200' }, stderr)
}

/** One for each run, none pending; and nothing has left the machine but by the proxy. */
async function assertRecords(world: World): Promise<void> {
  const records = readFileSync(join(stateOf(world), 'runs.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  const ids = records.map((line): string => JSON.parse(line).id)
  assert.equal(new Set(ids).size, ids.length, 'a run has two records')
  assert.deepEqual(readdirSync(join(stateOf(world), 'running')), [])
  assert.deepEqual(await world.arrivals(), [])
}

function seeded(t: TestContext): () => number {
  const seed = Number(process.env.CLRK_CHAOS_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`seed ${seed}`)
  return generator(seed)
}

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
