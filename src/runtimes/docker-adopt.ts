/** A sandbox whose worker has gone, taken over by the next one: looked at first, and refused where anything is odd. */
import { closeSync, fstatSync, statSync } from 'node:fs'
import { Writable } from 'node:stream'
import type { ContainerInspectInfo } from 'dockerode'
import type { DockerEngine } from './docker-engine.ts'
import { ask, statusOf } from './docker-errors.ts'
import { openPodNamespace, pausePid, removeContainer, removePod } from './docker-pod.ts'
import { exitOf, run } from './docker-sandbox.ts'
import type { FoundSandbox, PreparedNamespace, RunningImageSandbox } from './image-runtime.ts'
import type { SandboxExit } from './runtime.ts'

/**
 * As `ImageRuntime.reopen`. A pause container that restarted holds another namespace than the agent is in; an agent that
 * restarted with it is in one without rules, which whoever plumbed it finds out.
 */
export async function reopenPod(engine: DockerEngine, found: FoundSandbox): Promise<PreparedNamespace> {
  const { agent, pause } = found
  if (agent === null) throw new Error('its agent is gone')
  if (pause === null) throw new Error('its pause container has ended')
  const { State, HostConfig } = await inspect(engine, agent)
  if (!State.Running) throw new Error('its agent has ended')
  if (State.Paused) throw new Error('its agent is paused')
  if (HostConfig.NetworkMode !== `container:${pause.id}`) throw new Error('its agent has another network')
  const netns = openPodNamespace(pause.pid, pause.id)
  try {
    if (namespaceOf(State.Pid) !== fstatSync(netns).ino) throw new Error('its pause container has restarted')
  } catch (error) {
    closeSync(netns)
    throw error
  }
  let released: Promise<void> | null = null
  return {
    netns,
    pause: pause.id,
    release: () => {
      if (released === null) closeSync(netns)
      released ??= removePod(engine, found.sandbox)
      return released
    },
  }
}

/** As `ImageRuntime.adopt`. What it printed meanwhile went nowhere. */
export async function adoptAgent(engine: DockerEngine, found: FoundSandbox): Promise<RunningImageSandbox> {
  const { sandbox, agent, pause } = found
  if (agent === null || pause === null) throw new Error('there is nothing of it')
  const container = engine.docker.getContainer(agent)
  const { Config, Mounts } = await inspect(engine, agent)
  const undo: (() => void)[] = []
  const close = async () => {
    for (const step of undo.splice(0)) step()
    await removeContainer(engine, container)
  }
  try {
    // Not the volumes of its image.
    for (const { Type, RW, Source } of Mounts) if (Type === 'bind' && RW) engine.workspaces.set(agent, Source)
    undo.push(() => engine.workspaces.delete(agent))
    const stopSignal = 'StopSignal' in Config && Config.StopSignal ? String(Config.StopSignal) : 'SIGTERM'
    const spec = { id: sandbox, stdio: { kind: 'pipes' as const }, image: { stopSignal } }
    const running = await run(engine, spec, { container, pause: pause.id, undo, close }, 'running')
    // Its end is watched from now on; before, it may have been missed.
    if ((await pausePid(engine, engine.docker.getContainer(pause.id))) !== pause.pid) {
      throw new Error('its pause container has restarted')
    }
    return { ...running, stdin: new Writable({ write: (_chunk, _encoding, done) => done() }) }
  } catch (error) {
    await close().catch(() => {}) // the first failure is the one to tell
    throw error
  }
}

/** As `ImageRuntime.exitOf`. */
export async function endOfAgent(engine: DockerEngine, { agent }: FoundSandbox): Promise<SandboxExit | null> {
  if (agent === null) return null
  const request = engine.docker.getContainer(agent).inspect()
  const known = request.then(
    ({ State }) => State,
    (error: unknown) => {
      if (statusOf(error) === 404) return null
      throw error
    },
  )
  const state = await ask(engine.socket, 'looking at its container', known)
  return state?.Status === 'exited' ? exitOf(state.ExitCode) : null
}

async function inspect(engine: DockerEngine, id: string): Promise<ContainerInspectInfo> {
  return ask(engine.socket, 'looking at its container', engine.docker.getContainer(id).inspect())
}

/** Inode of the network namespace that process `pid` is in. */
function namespaceOf(pid: number): number {
  return statSync(`/proc/${pid}/ns/net`).ino
}
