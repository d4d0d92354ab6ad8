/** On what it was measured. */
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'

export type MachineDescription = {
  /** RFC 3339. */
  readonly date: string
  readonly processor: string
  readonly processors: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly node: string
  readonly openssl: string
  /** Over 1, 5 and 15 minutes: what else ran. */
  readonly loadAverage: readonly number[]
  /** Of the working tree; null outside a clone. */
  readonly commit: string | null
}

export function describeMachine(): MachineDescription {
  return {
    date: new Date().toISOString(),
    processor: cpus()[0]?.model ?? 'unknown',
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
    openssl: process.versions.openssl,
    loadAverage: loadavg().map(load => Math.round(load * 100) / 100),
    commit: commitOf(),
  }
}

function commitOf(): string | null {
  try {
    const argv = ['describe', '--always', '--dirty']
    return execFileSync('git', argv, { cwd: import.meta.dirname, encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return null
  }
}
