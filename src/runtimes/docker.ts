/** The Docker runtime, for Docker and Podman: images, pause containers, agents, and what is left of them. */
import { join } from 'node:path'
import type { ContainerInfo } from 'dockerode'
import { readImageRoots } from '../trust/image-archive.ts'
import type { HostRoots } from '../trust/image-roots.ts'
import { adoptAgent, endOfAgent, reopenPod } from './docker-adopt.ts'
import { withImageFiles } from './docker-archive.ts'
import type { DockerEngine } from './docker-engine.ts'
import { ask } from './docker-errors.ts'
import { endForgotten } from './docker-forgotten.ts'
import { findImage, layersOf } from './docker-image.ts'
import { pausePid, preparePod, removePod } from './docker-pod.ts'
import { startAgent } from './docker-sandbox.ts'
import { containerName, LABELS } from './docker-spec.ts'
import type { FoundSandbox, ImageFacts, ImageRuntime } from './image-runtime.ts'

export function createDockerRuntime(engine: DockerEngine): ImageRuntime {
  const { docker, socket } = engine

  const readingRoots = new Map<string, Promise<HostRoots>>()

  function readRoots(image: ImageFacts): Promise<HostRoots> {
    const kept = join(engine.directory, 'roots', image.id.replace(':', '-'))
    return readImageRoots(read => withImageFiles(engine, image, read), kept, keystoresOf(image))
  }

  async function list(): Promise<readonly FoundSandbox[]> {
    const found = await containers(engine)
    const names = [...new Set(found.map(({ sandbox }) => sandbox))].filter(name => !engine.reading.has(name))
    return Promise.all(
      names.map(async (sandbox): Promise<FoundSandbox> => {
        const of = (role: string) => found.find(it => it.sandbox === sandbox && it.role === role)?.info
        const [agent, pause] = [of('agent'), of('pause')]
        const pid = pause === undefined ? null : await pausePid(engine, docker.getContainer(pause.Id))
        return {
          sandbox,
          agent: agent?.Id ?? null,
          running: agent?.State === 'running',
          pause: pause === undefined || pid === null ? null : { id: pause.Id, pid },
          labels: callersLabels(pause?.Labels ?? {}),
        }
      }),
    )
  }

  return {
    kind: 'docker',
    image: (reference, progress) =>
      findImage({ docker, kind: engine.kind, engine: socket, dockerConfig: engine.dockerConfig }, reference, progress),
    roots: image => {
      // Twenty boots at once look once: Podman fails where many look into one image.
      const reading = readingRoots.get(image.id) ?? readRoots(image).finally(() => readingRoots.delete(image.id))
      readingRoots.set(image.id, reading)
      return reading
    },
    files: (image, read) => withImageFiles(engine, image, read),
    layers: image => layersOf({ docker, engine: socket }, image),
    prepare: (id, { labels }) => preparePod(engine, id, labels),
    start: (spec, { pause }) => startAgent(engine, spec, pause),
    list,
    reopen: found => reopenPod(engine, found),
    adopt: found => adoptAgent(engine, found),
    exitOf: found => endOfAgent(engine, found),
    remove: async sandbox => {
      const mine = (await containers(engine)).filter(it => it.sandbox === sandbox)
      await removePod(engine, sandbox)
      for (const { info } of mine) endForgotten(info.Id)
    },
  }
}

type OurContainer = { readonly sandbox: string; readonly role: string; readonly info: ContainerInfo }

/** Labels come from images too, so a container counts only where its name says the same. */
async function containers({ docker, socket, stateId }: DockerEngine): Promise<readonly OurContainer[]> {
  const filters = { label: [`${LABELS.state}=${stateId}`] }
  const found = await ask(socket, 'listing containers', docker.listContainers({ all: true, filters }))
  return found.flatMap(info => {
    const [sandbox, role] = [info.Labels[LABELS.sandbox] ?? '', info.Labels[LABELS.role]]
    if (role !== 'agent' && role !== 'pause') return []
    const name = containerName(stateId, sandbox, role)
    return info.Names.some(it => it.replace(/^\//, '') === name) ? [{ sandbox, role, info }] : []
  })
}

function callersLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const own: readonly string[] = Object.values(LABELS)
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !own.includes(name)))
}

/** Images of Java runtimes say where theirs lies. */
function keystoresOf({ environment: { JAVA_HOME } }: ImageFacts): readonly string[] {
  return JAVA_HOME?.startsWith('/')
    ? [join(JAVA_HOME, 'lib/security/cacerts'), join(JAVA_HOME, 'jre/lib/security/cacerts')]
    : []
}
