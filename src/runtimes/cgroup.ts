/**
 * Limits for memory, processor and processes: planned from what the kernel says about itself, then written.
 *
 * cgroup v1: a directory in each of three hierarchies, below the worker's own. cgroup v2: one directory at the root of
 * the hierarchy, because a cgroup that holds processes (the worker's) cannot hand controllers to its children.
 * Kernel: Documentation/admin-guide/cgroup-v1, cgroup-v2.rst.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clrkError, messageOf } from '../errors.ts'
import type { SandboxLimits } from './runtime.ts'

export type CgroupPlan = {
  /** Made in this order, removed in the reverse one. The first lists every process of the sandbox. */
  readonly directories: readonly [string, ...string[]]
  /** Written in order. `optional`: the kernel may have been built without this file. */
  readonly writes: readonly { readonly path: string; readonly value: string; readonly optional: boolean }[]
}

/** What the kernel says: /proc/self/mountinfo (proc_pid_mountinfo(5)) and /proc/self/cgroup (cgroups(7)). */
export type CgroupSources = { readonly mountinfo: string; readonly cgroup: string }

/** Pure. `name` is the directory's. Throws CLRK_SANDBOX_FAILED where a controller is mounted nowhere. */
export function planCgroup(sources: CgroupSources, name: string, limits: SandboxLimits): CgroupPlan {
  const quota = Math.max(1_000, Math.round(limits.cpus * PERIOD_US))
  const processes = String(limits.pids + LAUNCHER_PROCESSES)
  const v1 = CONTROLLERS.map(controller => v1Parent(sources, controller))
  const [memory, pids, cpu] = v1.map(parent => (parent === null ? null : join(parent, name)))
  if (memory && pids && cpu) {
    return {
      directories: [memory, pids, cpu],
      writes: [
        { path: join(memory, 'memory.limit_in_bytes'), value: String(limits.memoryBytes), optional: false },
        { path: join(memory, 'memory.memsw.limit_in_bytes'), value: String(limits.memoryBytes), optional: true },
        { path: join(pids, 'pids.max'), value: processes, optional: false },
        { path: join(cpu, 'cpu.cfs_period_us'), value: String(PERIOD_US), optional: false },
        { path: join(cpu, 'cpu.cfs_quota_us'), value: String(quota), optional: false },
      ],
    }
  }
  const root = mounts(sources).find(mount => mount.type === 'cgroup2')?.point
  if (root === undefined || v1.some(parent => parent !== null)) {
    throw failure('finding the cgroup controllers memory, pids and cpu', 'they are not all mounted')
  }
  const directory = join(root, name)
  return {
    directories: [directory],
    writes: [
      { path: join(root, 'cgroup.subtree_control'), value: '+memory +pids +cpu', optional: false },
      { path: join(directory, 'memory.max'), value: String(limits.memoryBytes), optional: false },
      { path: join(directory, 'memory.swap.max'), value: '0', optional: true },
      { path: join(directory, 'pids.max'), value: processes, optional: false },
      { path: join(directory, 'cpu.max'), value: `${quota} ${PERIOD_US}`, optional: false },
    ],
  }
}

/** Makes the directories and writes the limits; leaves nothing behind if it throws CLRK_SANDBOX_FAILED. */
export function createCgroup(plan: CgroupPlan): void {
  try {
    for (const directory of plan.directories) mkdirSync(directory)
    for (const { path, value, optional } of plan.writes) {
      if (optional && !existsSync(path)) continue
      writeFileSync(path, value)
    }
  } catch (error) {
    for (const directory of plan.directories) if (existsSync(directory)) rmdirSync(directory)
    throw failure('setting the limits', messageOf(error))
  }
}

/** Ids of the processes in the sandbox, as this process sees them. */
export function cgroupProcesses(plan: Pick<CgroupPlan, 'directories'>): readonly number[] {
  return readFileSync(join(plan.directories[0], 'cgroup.procs'), 'utf8')
    .split('\n')
    .map(Number)
    .filter(pid => pid > 0)
}

/**
 * Kills what is still inside and removes the directories. The kernel says EBUSY until the last process is gone for
 * good, so this waits: it resolves when nothing of it is left, and rejects if that takes longer than five seconds.
 */
export async function removeCgroup(plan: Pick<CgroupPlan, 'directories'>): Promise<void> {
  const end = Date.now() + 5_000
  for (const directory of plan.directories.toReversed()) {
    for (;;) {
      try {
        if (existsSync(directory)) rmdirSync(directory)
        break
      } catch (error) {
        if (Date.now() > end) throw failure(`removing ${directory}`, messageOf(error))
        for (const pid of cgroupProcesses({ directories: [directory] })) kill(pid)
        await sleep(2)
      }
    }
  }
}

/** Removes every cgroup whose name begins with `prefix`, wherever a worker that ran elsewhere put it. */
export async function sweepCgroups(sources: CgroupSources, prefix: string): Promise<void> {
  for (const { point } of mounts(sources)) {
    for (const directory of below(point, prefix)) await removeCgroup({ directories: [directory] })
  }
}

export function readCgroupSources(): CgroupSources {
  return {
    mountinfo: readFileSync('/proc/self/mountinfo', 'utf8'),
    cgroup: readFileSync('/proc/self/cgroup', 'utf8'),
  }
}

function below(directory: string, prefix: string): readonly string[] {
  let children: readonly { readonly name: string; isDirectory(): boolean }[]
  try {
    children = readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [] // somebody removed it meanwhile
    throw error
  }
  return children
    .filter(entry => entry.isDirectory())
    .flatMap(({ name }) => {
      const path = join(directory, name)
      return name.startsWith(prefix) ? [path] : below(path, prefix)
    })
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone meanwhile
  }
}

type Mount = { readonly root: string; readonly point: string; readonly type: string; readonly options: string[] }

function mounts({ mountinfo }: CgroupSources): readonly Mount[] {
  return mountinfo.split('\n').flatMap(line => {
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root = '', point = ''] = before.split(' ')
    const [type = '', , options = ''] = after.split(' ')
    return type === 'cgroup' || type === 'cgroup2' ? [{ root, point, type, options: options.split(',') }] : []
  })
}

/** The worker's own directory in the hierarchy of `controller`, or null where that is not a v1 one. */
function v1Parent(sources: CgroupSources, controller: string): string | null {
  const mount = mounts(sources).find(({ type, options }) => type === 'cgroup' && options.includes(controller))
  const own = sources.cgroup
    .split('\n')
    .map(line => line.split(':'))
    .find(([, controllers = '']) => controllers.split(',').includes(controller))
  if (mount === undefined || own === undefined) return null
  const path = own.slice(2).join(':')
  // In a container the mount shows only what is below its own root.
  const shown = mount.root !== '/' && path.startsWith(mount.root) ? path.slice(mount.root.length) : path
  return join(mount.point, shown)
}

function failure(step: string, reason: string) {
  return clrkError('CLRK_SANDBOX_FAILED', {
    step,
    reason,
    fix: 'Check that the cgroup controllers memory, pids and cpu are mounted and writable.',
  })
}

const CONTROLLERS = ['memory', 'pids', 'cpu'] as const
const PERIOD_US = 100_000
/** bwrap outside and bwrap as process 1 inside count as well. */
const LAUNCHER_PROCESSES = 2
