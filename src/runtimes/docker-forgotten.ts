/**
 * What an engine forgets: killed while it starts a container, it comes back without the shim that it had just made, and
 * without what waits in it to become the agent (containerd 1.6: some three of thirty kills).
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Ends the processes of a container that the engine has removed. `id`: 64 hex digits, which no two containers share. */
export function endForgotten(id: string): void {
  for (const pid of readdirSync('/proc')) {
    if (/^\d+$/.test(pid) && belongsTo(pid, id)) kill(Number(pid))
  }
}

function belongsTo(pid: string, id: string): boolean {
  try {
    if (readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(id)) return true
    const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return /\/containerd-shim[^/]*$/.test(program) && args[args.indexOf('-id') + 1] === id
  } catch {
    return false // it ended meanwhile
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it ended meanwhile
  }
}
