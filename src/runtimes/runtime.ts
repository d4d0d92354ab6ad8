/**
 * What boots sandboxes. Three runtimes share this shape: `prepare` (a plumbed namespace) → `start` (the agent in it) →
 * `stop`, and `adopt` after a restart where sandboxes outlive their worker.
 */
import type { Readable, Writable } from 'node:stream'
import type { TrustPlan } from '../trust/plan.ts'

export type SandboxLimits = {
  readonly memoryBytes: number
  /** Cores; 0.5 is half of one. */
  readonly cpus: number
  readonly pids: number
}

export type SandboxSpec = {
  /** DNS label, unique on this host: names the cgroup and the sandbox's host name. */
  readonly id: string
  readonly argv: readonly [string, ...string[]]
  readonly environment: Readonly<Record<string, string>>
  readonly workingDirectory: string
  /** uid and gid that the agent sees; on the host it is an unprivileged range of its own. */
  readonly user: { readonly uid: number; readonly gid: number }
  /** Path of the private home inside. */
  readonly home: string
  /** A host directory that is writable inside at the same path, or null. */
  readonly workspace: string | null
  /** Host directories or files shown read-only at their own path (tools on the caller's PATH, an agent's program). */
  readonly readOnly: readonly string[]
  readonly trust: TrustPlan
  readonly limits: SandboxLimits
  readonly stdio:
    | { readonly kind: 'pipes' }
    | { readonly kind: 'terminal'; readonly rows: number; readonly columns: number }
}

export type SandboxExit =
  | { readonly code: number; readonly signal: null }
  | { readonly code: null; readonly signal: NodeJS.Signals }

export type RunningSandbox = {
  readonly id: string
  /** With a terminal, `stdout` carries everything and `stderr` is null. */
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable | null
  readonly exited: Promise<SandboxExit>
  /** Sends a signal to the agent's process group. */
  readonly signal: (signal: NodeJS.Signals) => void
  readonly resize: (rows: number, columns: number) => void
  /** SIGTERM, then SIGKILL after `LIMITS.stopGraceMs`; resolves when nothing of it is left on the host. */
  readonly stop: () => Promise<void>
}
