/**
 * The local runtime: no engine, no image. The host's own system directories read-only, a private home, the agent as an
 * unprivileged uid of its own, in namespaces of its own, under our seccomp profile and cgroup limits.
 */
import { closeSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clrkError, isClrkError, messageOf } from '../errors.ts'
import { makePrivateMount } from '../kernel/mounts.ts'
import { compileSeccomp } from '../kernel/seccomp.ts'
import { LIMITS } from '../limits.ts'
import { bwrapArguments, commandInside } from './bwrap-spec.ts'
import { cgroupProcesses, createCgroup, planCgroup, readCgroupSources, removeCgroup, sweepCgroups } from './cgroup.ts'
import { hostFiles } from './host-files.ts'
import { readHostLayout } from './host-layout.ts'
import { createIdentities, type Identities } from './identities.ts'
import { LAUNCHER, launch } from './launch.ts'
import { findLocalTools, type LocalTools } from './local-tools.ts'
import type { RunningSandbox, SandboxSpec } from './runtime.ts'
import { SECCOMP_PROFILE } from './seccomp.ts'
import { createStage } from './stage.ts'
import { stagePaths } from './stage-paths.ts'
import { openStdio } from './stdio.ts'
import { localWorkspaces, stageWorkspace } from './workspace.ts'

export type LocalRuntime = {
  /**
   * Boots a sandbox in the network namespace at `netns.path` (`/proc/PID/fd/N`). Resolves when the agent's first
   * instruction is imminent; rejects with CLRK_SANDBOX_FAILED that names the step, and leaves nothing behind.
   */
  readonly start: (spec: SandboxSpec, netns: { readonly path: string }) => Promise<RunningSandbox>
  /** Ends and removes what a killed worker with the same `stateId` left. */
  readonly sweep: () => Promise<void>
}

type Machine = {
  readonly tools: LocalTools
  readonly identities: Identities
  readonly seccomp: Uint8Array
  readonly stateId: string
  readonly state: string
  readonly staging: string
  readonly emptyFile: string
  readonly emptyDirectory: string
}

/**
 * Called once in the worker, which is root. `stateId`: `[a-z0-9]{8}`, tells workers of one host apart. `state`: the
 * directory with the worker's keys, which no agent gets for a workspace. `staging`: a
 * directory on a tmpfs in the worker's own mount namespace, reachable by any uid; every mount made here dies with it.
 * Throws CLRK_TOOL_MISSING.
 */
export function createLocalRuntime(options: { stateId: string; state: string; staging: string }): LocalRuntime {
  const { stateId, state, staging } = options
  const tools = findLocalTools()
  const seccomp = compileSeccomp(SECCOMP_PROFILE)
  makePrivateMount(staging)
  const emptyFile = join(staging, 'empty-file')
  const emptyDirectory = join(staging, 'empty-directory')
  writeFileSync(emptyFile, '', { mode: 0o444 })
  mkdirSync(emptyDirectory, { mode: 0o555 })
  const identities = createIdentities(tools.unshare)
  identities.refill()
  const machine: Machine = { tools, identities, seccomp, stateId, state, staging, emptyFile, emptyDirectory }
  return {
    start: (spec, netns) => start(machine, spec, netns.path),
    sweep: () => sweepCgroups(readCgroupSources(), `clrk-${stateId}-`),
  }
}

/** What has been done so far, undone in reverse order, also where one step of that fails. */
function createUndo() {
  const steps: (() => void | Promise<void>)[] = []
  return {
    add: (step: () => void | Promise<void>) => void steps.push(step),
    run: async () => {
      let failure: unknown = null
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
        try {
          await step()
        } catch (error) {
          failure ??= error
        }
      }
      if (failure !== null) throw failure
    },
  }
}

async function start(machine: Machine, spec: SandboxSpec, netns: string): Promise<RunningSandbox> {
  const undo = createUndo()
  try {
    return await build(machine, spec, netns, undo)
  } catch (error) {
    await undo.run().catch(() => {}) // the first failure is the one to tell
    if (isClrkError(error)) throw error
    const fix = 'Report it with the lines of the worker log around this moment.'
    throw clrkError('CLRK_SANDBOX_FAILED', { step: 'preparing it', reason: messageOf(error), fix })
  } finally {
    machine.identities.refill()
  }
}

async function build(
  { tools, identities, seccomp, stateId, state, staging, emptyFile, emptyDirectory }: Machine,
  spec: SandboxSpec,
  netns: string,
  undo: ReturnType<typeof createUndo>,
): Promise<RunningSandbox> {
  const { base, userns, release } = await identities.take()
  undo.add(release)

  const cgroup = planCgroup(readCgroupSources(), `clrk-${stateId}-${spec.id}`, spec.limits)
  createCgroup(cgroup)
  undo.add(() => removeCgroup(cgroup))

  const stage = createStage(join(staging, spec.id))
  undo.add(stage.clear)
  const host = readHostLayout(hostFiles)
  const workspaceOptions = { stage, home: spec.home, state, base, unshare: tools.unshare }
  const staged = {
    emptyFile,
    emptyDirectory,
    ...stagePaths(spec, { host, files: hostFiles, stage }),
    workspace: spec.workspace === null ? null : await stageWorkspace(spec.workspace, workspaceOptions),
  }
  if (staged.workspace !== null) localWorkspaces.set(spec.id, staged.workspace.target)
  undo.add(() => void localWorkspaces.delete(spec.id))
  const options = bwrapArguments(spec, host, staged, LAUNCHER)

  const stdio = openStdio(spec.stdio, base)
  let isRunning = false
  undo.add(() => stdio.close(isRunning))
  const passed = [
    stage.openBytes(Buffer.from(options.map(it => `${it}\0`).join(''))),
    stage.openBytes(seccomp),
  ] as const
  const launching = launch(
    {
      tools,
      cgroups: cgroup.directories.map(directory => join(directory, 'cgroup.procs')),
      netns,
      userns: `/proc/${process.pid}/fd/${userns}`,
      arguments: passed[0],
      seccomp: passed[1],
      command: commandInside(spec, LAUNCHER.control),
      stdio: stdio.theirs,
    },
    stdio.readComplaint,
  )
  for (const descriptor of new Set([...passed, ...stdio.theirs])) closeSync(descriptor)
  const { init, open, exited } = await launching
  const agent = findAgent(cgroupProcesses(cgroup))
  stage.clear()
  isRunning = true
  open()

  let isOver = false
  const cleaned = exited.then(() => {
    isOver = true
    return undo.run()
  })
  cleaned.catch(() => {}) // told by `stop`; until then the next sweep has another go at it
  const signal = (name: NodeJS.Signals) => {
    if (!isOver) send(-agent, name)
  }
  return {
    id: spec.id,
    ...stdio.ours,
    exited,
    signal,
    resize: stdio.resize,
    stop: async () => {
      signal('SIGTERM')
      const patience = new AbortController()
      const grace = sleep(LIMITS.stopGraceMs, null, { signal: patience.signal }).catch(() => {})
      await Promise.race([exited, grace])
      patience.abort()
      if (!isOver) send(init, 'SIGKILL')
      await cleaned
    },
  }
}

/** The gate, in whose place the agent comes, is process 2 of the sandbox (NSpid, proc_pid_status(5)). */
function findAgent(pids: readonly number[]): number {
  for (const pid of pids) {
    const inside = /^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    if (inside === '2') return pid
  }
  throw new Error('the sandbox has no process 2')
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // gone meanwhile
  }
}
