/** The engine killed under a boot and under an agent: each run ends with a record, and what it kept is removed when it is back. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, spawnClrkRun, startWorker, stateOf, stopWorker } from '../world/clrk.ts'
import { IMAGE, withEngineWorld } from '../world/engine-world.ts'
import { eventually } from '../world/eventually.ts'

test('kill -9 of the engine', async t => {
  await withEngineWorld(t, [], async ({ world, engine, env }) => {
    const worker = await startWorker(world, [], { env })
    const options = { env, arguments: ['--image', IMAGE] }
    const count = async () => (await engine.docker.listContainers({ all: true })).length
    const nothing = () => eventually(async () => ((await count()) === 0 ? true : null))

    const boot = spawnClrkRun(world, ['sleep', '600'], options)
    await eventually(async () => ((await count()) > 0 ? true : null))
    await engine.kill()
    const failed = await boot.exited
    assert.notEqual(failed.code, 0)
    const refused = await clrkRun(world, ['true'], options)
    assert.match(refused.stderr, /^clrk: the container engine cannot be used: .*no engine answers there.*\n$/)
    await engine.start()
    await nothing() // by the worker that lives on, though nobody asks it for anything

    const agent = spawnClrkRun(world, ['sh', '-c', 'echo up; sleep 600'], options)
    await agent.saw(/up/)
    await engine.kill()
    await engine.start()
    assert.notEqual((await agent.exited).code, 0)
    await nothing()
    assert.equal((await clrkRun(world, ['true'], options)).code, 0)

    const records = readFileSync(join(stateOf(world), 'runs.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
    assert.equal(records.length, 4)
    assert.equal(JSON.parse(records[2] ?? '').exit.reason, 'engine-gone')
    assert.deepEqual(readdirSync(join(stateOf(world), 'running')), [])
    await stopWorker(worker)
  })
})
