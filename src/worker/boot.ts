/**
 * One sandbox from request to record: namespace plumbed and proven, trust prepared, proxy attached, and only then the
 * agent. Whatever fails on the way undoes what was done before it.
 */
import { randomBytes } from 'node:crypto'
import type { SandboxSockets } from '../plumbing/sockets.ts'
import type { RunningSandbox, SandboxLimits } from '../runtimes/runtime.ts'
import type { SandboxCounters, SandboxIdentity } from '../shard/protocol.ts'
import type { RunRecord, RunRequest, StartedRun } from './control.ts'
import type { GatewayHandle } from './gateways.ts'
import type { Runs } from './runs.ts'
import type { Supervisor } from './supervise.ts'

/** What is to run, whoever asked for it. */
export type BootRequest = {
  readonly identity: SandboxIdentity
  readonly gateway: GatewayHandle
  /** What the agent is: over an image's ENTRYPOINT and CMD where it names one. */
  readonly command: readonly string[]
  readonly args: readonly string[]
  /** Null: a program of this machine. */
  readonly image: string | null
  /** The agent's own variables. */
  readonly environment: Readonly<Record<string, string>>
  /** Null: whom the runtime chooses. */
  readonly user: { readonly uid: number; readonly gid: number } | null
  readonly limits: SandboxLimits
  /** Null: the caller's directory where it is shown inside, else the workspace or home; an image's WORKDIR. */
  readonly workingDirectory: string | null
  /** A directory of the agent's program, shown read-only with the node_modules that Node would search from it. */
  readonly programDirectory: string | null
  /** When it is stopped, from its start; null: never. */
  readonly timeoutMs: number | null
  readonly surroundings: Pick<RunRequest, 'callerEnvironment' | 'callerDirectory' | 'workspace' | 'stdio'>
}

/** How a runtime takes part in a boot. `begin` gives what it has to undo to `undo` as soon as it exists. */
export type Preparing = {
  readonly runtime: 'local' | 'docker'
  readonly begin: (undo: (step: () => Promise<unknown>) => void) => Promise<{
    readonly sockets: SandboxSockets
    readonly start: () => Promise<RunningSandbox>
    /** After the agent has ended and its proxy is detached. */
    readonly end: () => Promise<void>
  }>
}

/** Ids are DNS labels; 40 random bits keep twenty thousand apart. */
export function newSandboxId(): string {
  return `sb-${randomBytes(5).toString('hex')}`
}

export async function bootSandbox(
  { supervisor, runs }: { readonly supervisor: Supervisor; readonly runs: Runs },
  request: BootRequest,
  preparing: Preparing,
): Promise<StartedRun> {
  const { identity, gateway } = request
  const began = performance.now()
  const pending = pendingRecord(request, preparing.runtime)
  const recorded = runs.begin(pending)
  const undo: (() => Promise<unknown>)[] = []
  try {
    const prepared = await preparing.begin(step => undo.push(step))
    const attached = await supervisor.attach({
      identity,
      gateway: gateway.key,
      isolation: gateway.policy().isolation,
      sockets: prepared.sockets,
    })
    let counters: Promise<SandboxCounters> | null = null
    const detach = () => {
      counters ??= attached.detach()
      return counters
    }
    undo.push(detach)
    const sandbox = await prepared.start()
    const bootMs = Math.round((performance.now() - began) * 10) / 10
    const record = finish(sandbox, detach, prepared.end).then(({ exit, counters: seen }) => {
      const { connections, requests, injected, denied } = seen
      const ended = {
        ...pending,
        bootMs,
        exit,
        endedAt: new Date().toISOString(),
        connections,
        requests,
        injected,
        denied,
      }
      recorded(ended)
      return ended
    })
    return { sandbox, record: record.finally(gateway.close) }
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => {}) // the first failure is the one to tell
    gateway.close()
    recorded({ ...pending, endedAt: new Date().toISOString() })
    throw error
  }
}

/** The record of a run that has not begun: what it says if nothing more is ever known. */
function pendingRecord({ identity, gateway, command, args }: BootRequest, runtime: RunRecord['runtime']): RunRecord {
  const now = new Date().toISOString()
  return {
    id: identity.id,
    agentKind: identity.agentKind,
    agent: `${identity.agentNamespace}/${identity.agentName}`,
    gateway: gateway.name,
    policyDigest: gateway.policy().digest,
    runtime,
    command: [...command, ...args],
    startedAt: now,
    endedAt: now,
    bootMs: 0,
    exit: NOT_STARTED,
    connections: 0,
    requests: 0,
    injected: 0,
    denied: 0,
  }
}

/** What a shell says of a command that could not be started. */
const NOT_STARTED = { code: 125, signal: null } as const

async function finish(sandbox: RunningSandbox, detach: () => Promise<SandboxCounters>, end: () => Promise<void>) {
  const exit = await sandbox.exited
  await sandbox.stop()
  const counters = await detach()
  await end()
  return { exit, counters }
}
