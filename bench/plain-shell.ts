/** The shell of every contender but clrk: on the client machine, as confined as a clrk sandbox is. */
import { writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { compileSeccomp } from '../src/kernel/seccomp.ts'
import { createCgroup, planCgroup, readCgroupSources, removeCgroup } from '../src/runtimes/cgroup.ts'
import { SECCOMP_PROFILE } from '../src/runtimes/seccomp.ts'
import { PROCESSORS, type Rig } from './rig.ts'
import { LOOP, openShell, type Shell } from './shell.ts'

export const LIMITS = { memoryBytes: Math.floor(totalmem() * 0.8), cpus: 2, pids: 4_096 } as const

export async function openPlainShell(rig: Rig): Promise<Shell> {
  const filter = join(rig.directory, 'seccomp.bpf')
  writeFileSync(filter, compileSeccomp(SECCOMP_PROFILE))
  const cgroup = planCgroup(readCgroupSources(), `clrk-bench-${process.pid}`, LIMITS)
  createCgroup(cgroup)
  const bwrap = [
    ...['bwrap', '--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--chdir', join(rig.directory, 'load')],
    ...['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--new-session', '--die-with-parent'],
    ...['--cap-drop', 'ALL', '--seccomp', '9', '--', '/bin/sh', '-c', LOOP],
  ]
  const argv = ['sh', '-c', JOIN, filter, ...cgroup.directories, '--', ...bwrap]
  const shell = await openShell(
    rig.spawn('client', PROCESSORS.load, argv, { piped: true }),
    'the plain namespace',
  ).catch(async error => {
    await removeCgroup(cgroup)
    throw error
  })
  return {
    run: shell.run,
    close: async () => {
      try {
        return await shell.close()
      } finally {
        await removeCgroup(cgroup)
      }
    },
  }
}

/** $0: the filter, which becomes descriptor 9; then the cgroups to join, `--`, and what takes its place. */
const JOIN = 'filter=$0; while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@" 9<"$filter"'
