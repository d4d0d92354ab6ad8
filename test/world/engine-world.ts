/** A world whose host has a private engine with one image: busybox, and programs of this machine with their libraries. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { busybox, type Engine, type ImageFile, importImage, startEngine } from './engine.ts'
import { createWorld, type World } from './world.ts'

export type EngineWorld = {
  readonly world: World
  readonly engine: Engine
  /** The environment of a clrk that finds the engine. */
  readonly env: Readonly<Record<string, string>>
}

export const IMAGE = 'localhost/agent:latest' // Podman gives no other tag

/** `programs`: what the image has beside busybox, each in /bin. `body` runs before engine and world end. */
export async function withEngineWorld(
  t: TestContext,
  programs: readonly string[],
  body: (setting: EngineWorld) => Promise<void>,
): Promise<void> {
  const world = await createWorld(t)
  const engine = await startEngine(argv => {
    const running = world.spawnHost(argv)
    return { kill: signal => running.kill(signal), exited: running.exited }
  })
  let failure: unknown = null
  try {
    const bundle = readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8')
    const files = { ...busybox(), ...Object.assign({}, ...programs.map(filesOf)) }
    await importImage(engine, IMAGE, { ...files, 'etc/ssl/certs/ca-certificates.crt': bundle }, ['ENV PATH=/bin'])
    await useOnce(engine)
    const env = { PATH: process.env.PATH ?? '', HOME: world.directory, DOCKER_HOST: `unix://${engine.socket}` }
    await body({ world, engine, env })
  } catch (error) {
    failure = error
    throw error
  } finally {
    // Before its world ends, which takes it along. The first failure is the one to tell.
    await engine.stop().catch(error => {
      if (failure === null) throw error
    })
  }
}

/** An engine keeps directories and cgroups of its own from its first container on: they are no leak of ours. */
async function useOnce({ docker }: Engine): Promise<void> {
  const container = await docker.createContainer({ Image: IMAGE, Cmd: ['true'], HostConfig: { NetworkMode: 'none' } })
  await container.start()
  await container.wait()
  await container.remove()
}

/** A program and the libraries that it is linked with. */
function filesOf(program: string): Record<string, ImageFile> {
  const linked = execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+(?= \(0x)/g) ?? []
  const libraries = linked
    .filter(path => existsSync(path))
    .map((path): [string, ImageFile] => [path.slice(1), { bytes: readFileSync(path), mode: 0o755 }])
  const name = program.slice(program.lastIndexOf('/') + 1)
  return { [`bin/${name}`]: { bytes: readFileSync(program), mode: 0o755 }, ...Object.fromEntries(libraries) }
}
