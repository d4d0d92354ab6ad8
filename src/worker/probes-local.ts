/** What the local runtime needs besides: each piece as `src/runtimes/local.ts` uses it, on something that is thrown away. */
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, rmdirSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { messageOf } from '../errors.ts'
import { proveIdmap } from '../kernel/mounts.ts'
import type { Probe } from '../kernel/probes.ts'
import { compileSeccomp } from '../kernel/seccomp.ts'
import { type CgroupPlan, createCgroup, planCgroup, readCgroupSources, removeCgroup } from '../runtimes/cgroup.ts'
import { findLocalTools, findTool } from '../runtimes/local-tools.ts'
import { SECCOMP_PROFILE } from '../runtimes/seccomp.ts'
import { takeUidRange } from '../runtimes/uid-range.ts'
import { createUserNamespace } from '../runtimes/user-namespace.ts'
import { complaintOf, isRoot, onlyRoot } from './probes-host.ts'

/** A process in namespaces of its own, as a uid that is nobody outside, under the system call filter. */
export async function probeSandbox(): Promise<Probe> {
  const most = readFileSync('/proc/sys/user/max_user_namespaces', 'latin1').trim()
  if (most === '0') {
    const needs = 'sysctl -w user.max_user_namespaces=10000'
    return { answer: 'no', found: 'user namespaces are turned off', needs }
  }
  const { bwrap, nsenter, unshare } = findLocalTools()
  if (!isRoot()) return onlyRoot('whether a user namespace can be made and a sandbox built in it')
  const { base, count, release } = await takeUidRange()
  const filter = openAnonymous(compileSeccomp(SECCOMP_PROFILE))
  try {
    const map = { inside: 0, outside: base, count }
    const userns = await createUserNamespace(unshare, map, map)
    const failure = await complaintOf(
      [
        ...([nsenter, `--user=/proc/${process.pid}/fd/${userns}`, '--setuid', '0', '--setgid', '0', '--'] as const),
        ...[bwrap, '--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
        ...['--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--seccomp', '3', '--ro-bind', '/', '/'],
        ...['--proc', '/proc', '--dev', '/dev', '--perms', '1777', '--size', '65536', '--tmpfs', '/tmp', '--', 'true'],
      ],
      filter,
    ).finally(() => closeSync(userns))
    if (failure === null) return { answer: 'yes', found: 'a sandbox can be built in a user namespace' }
    const needs = 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run clrk outside of containers.'
    return { answer: 'no', found: failure, needs }
  } finally {
    closeSync(filter)
    release()
  }
}

/** A cgroup with limits for memory, processes and processor. */
export async function probeCgroup(): Promise<Probe> {
  const limits = { memoryBytes: 64 * 2 ** 20, cpus: 1, pids: 16 }
  const plan = planCgroup(readCgroupSources(), `clrk-doctor-${process.pid}`, limits)
  const version = plan.directories.length === 1 ? 'cgroup v2' : 'cgroup v1'
  if (!isRoot()) return onlyRoot(`${version} has memory, pids and cpu; whether limits can be set`)
  const trial = withoutSideEffects(plan)
  if (trial === null) {
    const needs = 'Boot with cgroup_enable=memory, and without cgroup_disable.'
    return { answer: 'no', found: 'cgroup v2 lacks one of the controllers memory, pids and cpu', needs }
  }
  createCgroup(trial)
  await removeCgroup(trial)
  return { answer: 'yes', found: `${version} takes limits for memory, pids and cpu` }
}

/** A workspace in `directory`. Sandboxes without one need nothing of this. */
export async function probeWorkspace(directory: string): Promise<Probe> {
  if (!isRoot()) return onlyRoot(`whether a workspace in ${directory} can be shared`)
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  const { base, release } = await takeUidRange()
  try {
    const { uid, gid } = fstatSync(descriptor)
    const idmap = await createUserNamespace(
      findTool('unshare', 'util-linux'),
      { inside: uid, outside: base, count: 1 },
      { inside: gid, outside: base, count: 1 },
    )
    try {
      proveIdmap(descriptor, idmap)
    } catch (error) {
      const found = `the file system of ${directory} cannot map owners (${messageOf(error)})`
      return { answer: 'no', found, needs: 'Keep workspaces on ext4, xfs, btrfs or tmpfs.' }
    } finally {
      closeSync(idmap)
    }
    return { answer: 'yes', found: `a workspace in ${directory} can be shared with its owner kept` }
  } finally {
    closeSync(descriptor)
    release()
  }
}

/**
 * The plan as far as it touches nothing but its own directories; null where a controller is missing. On cgroup v2 the
 * worker first hands controllers to the children of the root, which would outlive a probe: where nobody has done so
 * yet, only the directory is tried.
 */
function withoutSideEffects(plan: CgroupPlan): CgroupPlan | null {
  const isOwn = (path: string) => plan.directories.some(directory => path.startsWith(`${directory}/`))
  const shared = plan.writes.find(({ path }) => !isOwn(path))
  if (shared === undefined) return plan
  const lacks = (file: string) => {
    const present = readFileSync(join(dirname(shared.path), file), 'latin1')
      .trim()
      .split(' ')
    return ['memory', 'pids', 'cpu'].some(controller => !present.includes(controller))
  }
  if (lacks('cgroup.controllers')) return null
  const writes = lacks('cgroup.subtree_control') ? [] : plan.writes.filter(({ path }) => isOwn(path))
  return { ...plan, writes }
}

/** A descriptor of a file without a name that holds `bytes`, read from its beginning. */
function openAnonymous(bytes: Buffer): number {
  const directory = join(tmpdir(), `clrk-doctor-${process.pid}`)
  mkdirSync(directory, { mode: 0o700 })
  try {
    const descriptor = openSync(directory, constants.O_RDWR | O_TMPFILE, 0o600)
    writeSync(descriptor, bytes, 0, bytes.length, 0) // by position: its offset stays where it is
    return descriptor
  } finally {
    rmdirSync(directory)
  }
}

const O_TMPFILE = 0o20200000
