/**
 * What a program leaves behind on a machine, and where a secret lies.
 *
 * Processes, namespaces, mounts, sockets and /run are those of the machine alone (it has its own); cgroups and /tmp are
 * shared with whatever else runs here: of those, cgroups named after clrk and without a process (with one of ours in it,
 * the process is found), and files named after it.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Machine } from './machine.ts'
import type { World } from './world.ts'

export type Snapshot = Readonly<
  Record<'processes' | 'namespaces' | 'mounts' | 'cgroups' | 'sockets' | 'files', readonly string[]>
>

export function snapshot({ machine }: World): Snapshot {
  const root = `/proc/${machine.init}/root`
  const processes = machine.processes()
  return {
    processes: processes.map(({ pid, argv }) => `${pid} ${argv.join(' ').slice(0, 120)}`),
    namespaces: namespacesOf(machine),
    mounts: lines(`/proc/${machine.init}/mountinfo`).map(line => line.split(' ').slice(3, 6).join(' ')),
    cgroups: emptyCgroups(),
    sockets: lines(`/proc/${machine.init}/net/unix`)
      .slice(1)
      .flatMap(line => line.split(/ +/)[7] ?? []),
    files: [
      ...below(join(root, 'run')),
      ...['tmp', 'var/tmp', 'dev/shm', 'var/run', 'var/lib'].flatMap(directory =>
        names(join(root, directory))
          .filter(name => /clrk/i.test(name))
          .map(name => `/${directory}/${name}`),
      ),
    ],
  }
}

/** Everything that is there now and was not `before` is a leak. Gives what ends by itself five seconds to end. */
export async function assertNothingLeft(world: World, before: Snapshot, attempts = 50): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const left = { ...difference(before, snapshot(world)), ...(await containersOf(world)) }
    if (Object.keys(left).length === 0) return
    if (attempt === attempts) assert.deepEqual(left, {}, 'something was left behind')
    await sleep(100)
  }
}

/** What the engine still has, running or not: each world begins with none. */
async function containersOf({ engine }: World): Promise<{ readonly containers?: readonly string[] }> {
  const found = (await engine?.docker.listContainers({ all: true })) ?? []
  return found.length === 0 ? {} : { containers: found.map(({ Names, State }) => `${Names.join()} ${State}`) }
}

/** Files below `roots` and processes of the world's machine (arguments, environment) that hold `canary`. */
export function grepForCanary(world: World, canary: string, roots: readonly string[]): readonly string[] {
  const inFiles = roots.flatMap(below).filter(path => statSync(path).isFile() && readFileSync(path).includes(canary))
  const proc = `/proc/${world.machine.init}/root/proc`
  const inProcesses = world.machine
    .processes()
    .flatMap(({ pid }) =>
      ['cmdline', 'environ']
        .filter(file => read(`${proc}/${pid}/${file}`).includes(canary))
        .map(file => `${pid}/${file}`),
    )
  return [...inFiles, ...inProcesses]
}

function difference(before: Snapshot, after: Snapshot): Partial<Snapshot> {
  const found = Object.entries(after).map(([what, items]) => {
    const known = new Set(before[what as keyof Snapshot])
    return [what, items.filter(item => !known.has(item))] as const
  })
  return Object.fromEntries(found.filter(([, items]) => items.length > 0))
}

/** Network namespaces that processes are in, hold open, or that are mounted somewhere. */
function namespacesOf({ init, processes }: Machine): readonly string[] {
  const proc = `/proc/${init}/root/proc`
  const held = processes().flatMap(({ pid, netns }) => [
    netns,
    ...names(`${proc}/${pid}/fd`)
      .map(fd => link(`${proc}/${pid}/fd/${fd}`))
      .filter(target => target.startsWith('net:[')),
  ])
  const mounted = lines(`/proc/${init}/mountinfo`).flatMap(line => /net:\[\d+\]/.exec(line)?.[0] ?? [])
  return [...new Set([...held, ...mounted])]
}

function emptyCgroups(root = '/sys/fs/cgroup', depth = 0): readonly string[] {
  if (depth === 4) return []
  return names(root).flatMap(name => {
    const path = join(root, name)
    if (/clrk/.test(name))
      return read(join(path, 'cgroup.procs')) === '' ? [path, ...emptyCgroups(path, depth + 1)] : []
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? emptyCgroups(path, depth + 1) : []
  })
}

function below(directory: string): readonly string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { recursive: true, withFileTypes: true }).map(entry =>
    join(entry.parentPath, entry.name),
  )
}

function lines(path: string): readonly string[] {
  return read(path).split('\n').filter(Boolean)
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // it ended meanwhile
  }
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
