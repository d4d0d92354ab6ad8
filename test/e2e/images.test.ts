/** What only images have: one that is nowhere, one without a shell, and nothing left after their worker was killed. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { clrkRecord, clrkRun, clrkStatus, REPOSITORY, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { type Engine, importImage } from '../world/engine.ts'
import { eventually } from '../world/eventually.ts'
import { ALL_PLACES, testEverywhere } from '../world/runtimes.ts'
import type { World } from '../world/world.ts'

const places = ALL_PLACES.filter(place => place !== 'local')

testEverywhere('an image that is nowhere is one line that names it', { places }, async world => {
  for (const image of ['nowhere:1', 'localhost/nowhere:1']) {
    const { code, stderr } = await clrkRun({ ...world, image }, ['true'])
    assert.notEqual(code, 0)
    assert.match(stderr, new RegExp(`^clrk: the image cannot be had: ${image}: .*(no such host|refused).*\\n$`))
  }
})

testEverywhere(
  'auto is docker with an image and local without; what a runtime cannot boot is refused',
  { places },
  async world => {
    const machine = { ...world, image: null }
    for (const [where, options] of [
      [world, []],
      [world, ['--runtime', 'docker']],
      [machine, ['--runtime', 'auto']],
    ] as const) {
      const { record } = await clrkRecord(where, ['true'], { arguments: options })
      assert.equal(record.runtime, where.image === null ? 'local' : 'docker')
    }
    const withoutImage = await clrkRun(machine, ['true'], { arguments: ['--runtime', 'docker'] })
    assert.match(withoutImage.stderr, /^clrk: .*docker needs an image.*--image.*\n$/)
    const onLocal = await clrkRun(world, ['true'], { arguments: ['--runtime', 'local'] })
    assert.match(onLocal.stderr, /^clrk: .*local runs programs of this machine.*--runtime docker.*\n$/)
  },
)

testEverywhere('an image without a shell runs its program, and says which one it has not', { places }, async world => {
  const built = await world.host(['gcc', '-static', '-o', '/run/probe', join(REPOSITORY, 'test/redteam/sockets.c')])
  assert.equal(built.code, 0, built.stderr)
  const bytes = readFileSync(`/proc/${world.machine.init}/root/run/probe`)
  await importImage(engineOf(world), 'localhost/bare:latest', { probe: { bytes, mode: 0o755 } })
  const bare = { ...world, image: 'localhost/bare:latest' }
  const ran = await clrkRun(bare, ['/probe'])
  assert.match(ran.stdout, /^tcp made$/m, ran.stderr)
  const { code, stderr } = await clrkRun(bare, ['sh', '-c', 'true'])
  assert.deepEqual([code, stderr], [127, 'clrk: cannot run sh: No such file or directory\n'])
})

testEverywhere('kill -9 of the worker: the next start removes its containers', { places }, async world => {
  await startWorker(world, [])
  const agent = spawnClrkRun(world, ['sh', '-c', 'echo up; sleep 600'])
  const all = () => engineOf(world).docker.listContainers({ all: true })
  await eventually(async () => ((await all()).filter(({ State }) => State === 'running').length === 2 ? true : null))
  const { pid } = await clrkStatus(world)
  await world.host(['kill', '-KILL', `${pid}`])
  assert.notEqual((await agent.exited).code, 0)

  assert.equal((await clrkRun(world, ['true'])).code, 0)
  await eventually(async () => ((await all()).length === 0 ? true : null))
  const records = readFileSync(join(stateOf(world), 'runs.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  const signals = records.map((line): string | null => JSON.parse(line).exit.signal)
  assert.deepEqual(signals, ['SIGKILL', null]) // each run has a record
})

function engineOf({ engine }: World): Engine {
  return engine ?? assert.fail('a world without an engine')
}
