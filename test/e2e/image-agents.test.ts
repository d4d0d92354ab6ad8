/** Agents of manifests in an image, by `clrk dev`: the example as it stands, from an engine that has its image. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { CLRK, REPOSITORY, stateOf, stopWorker } from '../world/clrk.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import { ALL_PLACES, testEverywhere } from '../world/runtimes.ts'

const EXAMPLE = join(REPOSITORY, 'examples/image-bot')
const places = ALL_PLACES.filter(place => place !== 'local')

testEverywhere('a TaskAgent asks and ends, a DaemonAgent is started again', { places }, async world => {
  const image = world.engine?.docker.getImage(world.image ?? '')
  await image?.tag({ repo: 'docker.io/library/python', tag: '3.12-slim' })
  const before = snapshot(world)
  const argv = [...CLRK, 'dev', EXAMPLE, '--mock-provider', '--state', stateOf(world)]
  const running = world.spawnHost(argv)
  await running.saw(/counter.*started as 1000[\s\S]*counter.*started as 1000/)
  await running.saw(/asker ended with status 0/)
  const { code, stdout } = await stopWorker(running)
  assert.equal(code, 0)
  assert.match(stdout, /asker .*status 200 with key clrk-injected-by-proxy/)
  assert.match(stdout, /counter: no network/)
  await image?.remove({ name: 'docker.io/library/python:3.12-slim' }).catch(() => {})
  await assertNothingLeft(world, before)

  const local = await world.host([...argv, '--runtime', 'local', '--once'])
  assert.match(local.stdout, /asker failed: .*local runs programs of this machine, not images.*--runtime docker/)
})
