/** An engine that was found to be usable, and what every sandbox on it has in common. */
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { pack } from 'tar-stream'
import { ask, statusOf } from './docker-errors.ts'
import { type ContainerEvents, createContainerEvents } from './docker-events.ts'
import { type EngineSetting, NAMESERVER } from './docker-spec.ts'
import { SECCOMP_PROFILE } from './seccomp.ts'
import { seccompJson } from './seccomp-json.ts'
import { staticProgram } from './static-programs.ts'

export type DockerEngine = {
  readonly docker: Docker
  readonly kind: 'docker' | 'podman'
  /** Path of its socket, for sentences. */
  readonly socket: string
  readonly stateId: string
  /** The worker's directory of keys, which no agent gets for a workspace. */
  readonly state: string
  /** For files that the engine must see, and for what is kept of images. */
  readonly directory: string
  /** Path of Docker's config.json, or null. */
  readonly dockerConfig: string | null
  readonly events: ContainerEvents
  /** Container id → the workspace that its agent writes to. */
  readonly workspaces: Map<string, string>
  /** Names of the containers that are read from just now, and removed by who reads. */
  readonly reading: Set<string>
  /** Makes what is missing, once: the pause image, the programs. */
  readonly setting: () => Promise<EngineSetting>
  /** The pause image is not there any more: makes all of it again the next time. */
  readonly forgetSetting: () => void
  /** Runs a start when it is its turn: 20 at once took 15 s, two at a time 9 s (2 cores, cgroup v1). */
  readonly starting: <T>(start: () => Promise<T>) => Promise<T>
}

export function createDockerEngine(
  options: Pick<DockerEngine, 'docker' | 'kind' | 'socket' | 'stateId' | 'state' | 'directory' | 'dockerConfig'>,
): DockerEngine {
  const { docker, socket, stateId, directory } = options
  const seccomp = JSON.stringify(seccompJson(SECCOMP_PROFILE, process.arch === 'arm64' ? 'arm64' : 'x64'))

  async function makeSetting(): Promise<EngineSetting> {
    const [pause, init] = await Promise.all([staticProgram('pause', directory), staticProgram('init', directory)])
    return {
      stateId,
      pauseImage: await pauseImage(docker, socket, pause),
      init,
      // Podman's API takes the profile as a path only.
      seccomp: options.kind === 'docker' ? seccomp : asFile('seccomp', seccomp, directory),
      resolvConf: asFile('resolv.conf', `nameserver ${NAMESERVER}\n`, directory),
      openFiles: Math.min(65_536, hardLimit('open files') ?? 65_536),
      processes: hardLimit('processes') ?? -1,
    }
  }

  // Many boots at once make it once: two imports of the pause image would leave one without a name.
  let known: Promise<EngineSetting> | null = null

  return {
    ...options,
    events: createContainerEvents(docker, stateId),
    workspaces: new Map(),
    reading: new Set(),
    setting: () => {
      known ??= makeSetting().catch(error => {
        known = null
        throw error
      })
      return known
    },
    forgetSetting: () => {
      known = null
    },
    starting: createLimit(Math.max(2, availableParallelism())),
  }
}

/** Id of the image that holds the pause program and nothing else, named by its digest; imported where it is missing. */
async function pauseImage(docker: Docker, socket: string, program: string): Promise<string> {
  const bytes = readFileSync(program)
  // Podman ignores the tag of an import, and takes a name without a host for one of a registry's.
  const repo = `localhost/clrk-pause-${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`
  const inspect = () => docker.getImage(`${repo}:latest`).inspect()
  const step = 'looking for the pause image'
  const found = inspect()
  const isMissing = await found.then(
    () => false,
    error => statusOf(error) === 404,
  )
  if (!isMissing) return (await ask(socket, step, found)).Id
  const archive = pack()
  archive.entry({ name: 'pause', mode: 0o755 }, bytes)
  archive.finalize()
  const importing = docker.importImage(Readable.from(archive), { repo, tag: 'latest' }).then(async answer => {
    for await (const _line of answer);
  })
  await ask(socket, 'importing the pause image', importing)
  return (await ask(socket, step, inspect())).Id
}

/** A file of that text, named by its digest, which any uid may read. */
function asFile(name: string, text: string, directory: string): string {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16)
  const path = join(directory, `${name}-${digest}`)
  if (existsSync(path)) return path
  mkdirSync(directory, { recursive: true })
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, text)
  chmodSync(unfinished, 0o644) // whatever the umask
  renameSync(unfinished, path)
  return path
}

/** Of this process, null for none; a runtime cannot give a container more than the engine has, usually the same. */
function hardLimit(name: string): number | null {
  const hard = new RegExp(`^Max ${name} +\\S+ +(\\d+)`, 'm').exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return hard === undefined ? null : Number(hard)
}

function createLimit(most: number): DockerEngine['starting'] {
  const waiting: (() => void)[] = []
  let running = 0
  return async start => {
    if (running < most) running += 1
    else await new Promise<void>(resolve => waiting.push(resolve))
    try {
      return await start()
    } finally {
      const next = waiting.shift() // takes our place
      if (next === undefined) running -= 1
      else next()
    }
  }
}
