/**
 * One test on every runtime: the same source, once as a program of the world's host and once in an image of the same
 * programs, by an engine on that host.
 */
import test, { type TestContext } from 'node:test'
import { ENGINE, type Engine, type EngineKind, startEngine } from './engine.ts'
import { engineData } from './engine-data.ts'
import { importMachineImage, MACHINE_IMAGE } from './machine-image.ts'
import { createWorld, type World, type WorldOptions } from './world.ts'

export type Place = 'local' | EngineKind

/** `CLRK_TEST_RUNTIME=docker` runs the tests of one alone; `CLRK_TEST_ENGINE=podman` puts Podman in Docker's place. */
export const PLACES: readonly Place[] = only(['local', ENGINE])

/** For what engines do each in their own way: both of them, and `local`. */
export const ALL_PLACES: readonly Place[] = only(['local', 'docker', 'podman'])

type Body = (world: World, t: TestContext) => Promise<void>
type EverywhereOptions = Pick<WorldOptions, 'hostTrustsStandIns'> & { readonly places?: readonly Place[] }

/** A test for each place, in a world whose `clrkRun` and its like go there. */
export function testEverywhere(name: string, ...rest: readonly [Body] | readonly [EverywhereOptions, Body]): void {
  const [{ places = PLACES, ...options }, body] = rest.length === 1 ? [{} as EverywhereOptions, rest[0]] : rest
  for (const place of places) {
    test(`${name} (${place})`, async t => body(await createPlace(t, place, options), t))
  }
}

/** A world with an engine, where `place` is one. */
export async function createPlace(t: TestContext, place: Place, options: WorldOptions = {}): Promise<World> {
  if (place === 'local') return createWorld(t, options)
  const engines: Engine[] = []
  // Before its world ends, which takes it along.
  const world = await createWorld(t, { ...options, ending: async () => void (await engines[0]?.stop()) })
  const engine = await startEngine(
    argv => {
      const running = world.spawnHost(argv)
      return { kill: signal => running.kill(signal), exited: running.exited }
    },
    { kind: place, data: engineData(place) },
  )
  engines.push(engine)
  await importMachineImage(engine)
  // Where clrk looks for one; and what the engine would make itself later, which is no leak then.
  const script = 'ln -s "$0" /run/docker.sock && mkdir -p /run/containerd/s /run/runc'
  const { code, stderr } = await world.host(['sh', '-c', script, engine.socket])
  if (code !== 0) throw new Error(stderr)
  return { ...world, engine, image: MACHINE_IMAGE }
}

function only(places: readonly Place[]): readonly Place[] {
  const wanted = process.env.CLRK_TEST_RUNTIME
  return wanted === undefined ? places : places.filter(place => place === wanted)
}
