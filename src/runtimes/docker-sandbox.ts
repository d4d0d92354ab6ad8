/** The agent's container, from its creation to its end. */

import { constants } from 'node:os'
import { Duplex, type Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Container } from 'dockerode'
import { LIMITS } from '../limits.ts'
import type { DockerEngine } from './docker-engine.ts'
import { ask, statusOf } from './docker-errors.ts'
import { hostsFile, removeContainer } from './docker-pod.ts'
import { agentContainer } from './docker-spec.ts'
import { attachedStreams } from './docker-streams.ts'
import { openWorkspace } from './docker-workspace.ts'
import type {
  ExitReason,
  ImageFacts,
  ImageSandboxExit,
  ImageSandboxSpec,
  RunningImageSandbox,
} from './image-runtime.ts'
import { localWorkspaces } from './workspace.ts'

/** As `ImageRuntime.start`. */
export async function startAgent(
  engine: DockerEngine,
  spec: ImageSandboxSpec,
  pause: string,
): Promise<RunningImageSandbox> {
  const inUse = [...engine.workspaces.values(), ...localWorkspaces.values()]
  const workspace = spec.workspace === null ? null : openWorkspace(spec.workspace, inUse, engine.state)
  const setting = await engine.setting()
  const pod = { pause, hosts: hostsFile(engine, spec.id) }
  const request = agentContainer(setting, { ...spec, workspace: workspace?.path ?? null }, pod, workspace)
  const creating = engine.docker.createContainer(request)
  const container = await ask(engine.socket, 'creating its container', creating)
  const undo: (() => void)[] = []
  const close = async () => {
    for (const step of undo.splice(0)) step()
    await removeContainer(engine, container)
  }
  try {
    if (workspace !== null) {
      engine.workspaces.set(container.id, workspace.path)
      undo.push(() => engine.workspaces.delete(container.id))
    }
    return await run(engine, spec, { container, pause, undo, close }, 'created')
  } catch (error) {
    await close().catch(() => {}) // the first failure is the one to tell
    throw error
  }
}

/** Starts an agent's container that was `created` and attends to it, or attends to one that is `running` already. */
export async function run(
  engine: DockerEngine,
  spec: Pick<ImageSandboxSpec, 'id' | 'stdio'> & { readonly image: Pick<ImageFacts, 'stopSignal'> },
  {
    container,
    pause,
    undo,
    close,
  }: { container: Container; pause: string; undo: (() => void)[]; close: () => Promise<void> },
  state: 'created' | 'running',
): Promise<RunningImageSandbox> {
  let reason: ExitReason | null = null
  const kill = (why: ExitReason) => {
    reason ??= why
    container.kill({ signal: 'SIGKILL' }).catch(() => {}) // it has ended, or the engine has: `exited` tells
  }
  const watch = async (id: string, fatal: string, why: ExitReason) => {
    const watching = engine.events.watch(id, action => void (action === fatal && kill(why)))
    undo.push(await ask(engine.socket, 'watching its containers', watching))
  }
  // A namespace that comes back after this is another one, which nobody has plumbed.
  await watch(pause, 'die', 'namespace-gone')
  await watch(container.id, 'pause', 'paused-from-outside')

  const connection = await ask(engine.socket, 'attaching to it', attach(engine, container))
  undo.push(() => connection.destroy())
  const streams = attachedStreams(connection, spec.stdio.kind, () => {
    container.kill({ signal: 'SIGPIPE' }).catch(() => {}) // it has ended
  })
  const waiting = await ask(engine.socket, 'waiting for its end', nextExit(engine, container, state))
  if (state === 'created') {
    await engine.starting(() => ask(engine.socket, 'starting its container', container.start()))
  }
  const resize = (rows: number, columns: number) => {
    if (spec.stdio.kind === 'terminal') container.resize({ h: rows, w: columns }).catch(() => {}) // it has ended
  }

  let isOver = false
  const exited = theEnd(engine, container, waiting, streams.ended).then((end): ImageSandboxExit => {
    isOver = true
    return { ...exitOf(end.status), reason: end.reason ?? reason }
  })
  const endBy = async (signal: string) => {
    await container.kill({ signal }).catch(() => {}) // what follows ends it anyway
    const patience = new AbortController()
    const grace = sleep(LIMITS.stopGraceMs, null, { signal: patience.signal }).catch(() => {})
    await Promise.race([exited, grace])
    patience.abort()
  }
  let stopped: Promise<void> | null = null
  const stop = async () => {
    if (!isOver) {
      await endBy(spec.image.stopSignal)
      // Not by removing it: Podman then tells no status.
      if (!isOver) await endBy('SIGKILL')
    }
    await close()
    await exited
  }
  return {
    id: spec.id,
    stdin: streams.stdin,
    stdout: streams.stdout,
    stderr: streams.stderr,
    exited,
    signal: name => {
      if (!isOver) container.kill({ signal: name }).catch(() => {}) // gone meanwhile
    },
    resize,
    stop: () => {
      stopped ??= stop()
      return stopped
    },
  }
}

/**
 * Not dockerode's `attach`: it sends its options as a body besides, and Podman takes that for the agent's input. An
 * empty body makes it send the head at once.
 */
async function attach(engine: DockerEngine, container: Container): Promise<Duplex> {
  const connection = await dial(engine, {
    ...{ path: `/containers/${container.id}/attach?`, method: 'POST', isStream: true, hijack: true },
    options: { _query: { stream: true, stdin: true, stdout: true, stderr: true } },
    file: Buffer.alloc(0),
    statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
  })
  if (!(connection instanceof Duplex)) throw new Error('the engine gave no stream')
  return connection
}

/**
 * Asks for the next exit of a container that has not been started, or the end of one that runs; resolves when the engine has taken note, to what
 * gives the exit status. (Asked afterwards, or by dockerode's `wait`, a quick end could come first and be lost.)
 */
async function nextExit(
  engine: DockerEngine,
  container: Container,
  state: 'created' | 'running',
): Promise<{ readonly status: Promise<number> }> {
  const answer = await dial(engine, {
    ...{ path: `/containers/${container.id}/wait?`, method: 'POST', isStream: true },
    options: { _query: { condition: state === 'created' ? 'next-exit' : 'not-running' }, _body: {} },
    statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
  })
  const status = statusIn(answer as Readable)
  status.catch(() => {}) // the engine is gone: whoever awaits it is told
  return { status }
}

function dial({ docker }: DockerEngine, request: Parameters<typeof docker.modem.dial>[0]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error: unknown, answer: unknown) => {
      if (error === null) resolve(answer)
      else reject(error)
    })
  })
}

async function statusIn(answer: Readable): Promise<number> {
  let text = ''
  for await (const chunk of answer) text += chunk
  return (JSON.parse(text) as { StatusCode: number }).StatusCode
}

type End = { readonly status: number; readonly reason: ExitReason | null }

/**
 * Resolves when the container has ended, or when the engine has been away for `LIMITS.engineReturnMs`. An engine that
 * comes back has lost our streams: what still runs then can be reached by nobody, and is removed.
 */
async function theEnd(
  engine: DockerEngine,
  container: Container,
  waiting: { readonly status: Promise<number> },
  streamsEnded: Promise<void>,
): Promise<End> {
  const told = waiting.status.then(
    status => ({ status }),
    () => 'lost' as const,
  )
  const first = await Promise.race([told, streamsEnded.then(() => 'closed' as const)])
  // Engines differ in how soon they tell; an agent may also close its output and go on.
  if (first === 'closed') {
    const state = await stateOf(container)
    if (typeof state === 'object' && !state.running) return { status: state.status, reason: state.reason }
  }
  const last = first === 'closed' ? await told : first
  if (last !== 'lost') {
    const state = await stateOf(container)
    // Removed from outside. Docker says so with the same status, Podman with 0.
    if (state === 'gone') return { status: KILLED, reason: null }
    if (state === 'unreachable') return { status: last.status, reason: null }
    // Started again from outside: Docker may tell the status of what runs now, which is 0.
    return { status: state.running ? last.status || KILLED : last.status, reason: state.reason }
  }
  for (const end = Date.now() + LIMITS.engineReturnMs; Date.now() < end; await sleep(ENGINE_POLL_MS)) {
    const state = await stateOf(container)
    if (state === 'gone') break
    if (state === 'unreachable') continue
    if (!state.running) return { status: state.status, reason: state.reason ?? 'engine-gone' }
    await removeContainer(engine, container).catch(() => {}) // it goes away once more: try again
  }
  return { status: KILLED, reason: 'engine-gone' }
}

async function stateOf(container: Container) {
  try {
    const { State } = await container.inspect()
    const reason: ExitReason | null = State.OOMKilled ? 'out-of-memory' : null
    return { running: State.Running, status: State.ExitCode, reason }
  } catch (error) {
    return statusOf(error) === 404 ? 'gone' : 'unreachable'
  }
}

/** images/init ends as the agent did, a signal as 128 + its number: as a shell tells it. */
export function exitOf(status: number) {
  const found = Object.entries(constants.signals).find(([, number]) => number === status - 128)
  const signal = found?.[0] as NodeJS.Signals | undefined
  return signal === undefined ? ({ code: status, signal: null } as const) : ({ code: null, signal } as const)
}

const KILLED = 128 + constants.signals.SIGKILL
const ENGINE_POLL_MS = 250
