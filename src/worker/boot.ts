/**
 * One sandbox from request to record: namespace plumbed and proven, trust prepared, proxy attached, and only then the
 * agent. Whatever fails on the way undoes what was done before it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { messageOf } from '../errors.ts'
import type { SandboxSockets } from '../plumbing/sockets.ts'
import type { RunningSandbox, SandboxLimits } from '../runtimes/runtime.ts'
import type { SandboxCounters, SandboxIdentity } from '../shard/protocol.ts'
import type { RunRecord, RunRequest, StartedRun } from './control.ts'
import type { GatewayHandle } from './gateways.ts'
import type { Journal, Runs } from './runs.ts'
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
  /** Nothing in it can be changed but /tmp, /var/tmp and the workspace. */
  readonly readOnlyRoot: boolean
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
  readonly begin: (undo: (step: () => Promise<unknown>) => void) => Promise<Prepared>
}

export type Prepared = {
  readonly sockets: SandboxSockets
  readonly start: () => Promise<RunningSandbox>
  /** After the agent has ended and its proxy is detached; `isClean` tells whether nothing is left of the agent. */
  readonly end: (isClean: boolean) => Promise<void>
}

export type Booting = {
  readonly supervisor: Supervisor
  readonly runs: Runs
  readonly log: (level: 'info' | 'warn', message: string) => void
}

/** Ids are DNS labels; 40 random bits keep twenty thousand apart. */
export function newSandboxId(): string {
  return `sb-${randomBytes(5).toString('hex')}`
}

/**
 * What a sandbox that a next worker finds must have in common with a request to be its sandbox; null where nobody will
 * ask for it again: a command of a client that has gone with its worker, or an agent that ends with it.
 */
export function bootDigest(request: BootRequest): string | null {
  const { identity, gateway, image, readOnlyRoot, command, args, environment, user, limits } = request
  const { workingDirectory, timeoutMs } = request
  const { workspace, stdio } = request.surroundings
  if (identity.agentKind === 'Run' || image === null || stdio.kind !== 'pipes') return null
  const { policy, authority } = gateway
  const agent = {
    image,
    readOnlyRoot,
    command,
    args,
    environment,
    user,
    limits,
    workingDirectory,
    timeoutMs,
    workspace,
  }
  const inCommon = [identity.agentKind, gateway.name, policy().digest, authority.certificatePem, agent]
  return createHash('sha256').update(JSON.stringify(inCommon)).digest('hex')
}

export async function bootSandbox(
  { supervisor, runs, log }: Booting,
  request: BootRequest,
  preparing: Preparing,
): Promise<StartedRun> {
  const { gateway } = request
  const began = performance.now()
  const pending = pendingRecord(request, preparing.runtime)
  const undo: (() => Promise<unknown>)[] = []
  let journal: Journal | null = null
  try {
    journal = runs.begin(pending, bootDigest(request))
    const prepared = await preparing.begin(step => undo.push(step))
    const detach = await attachProxy(supervisor, request, prepared.sockets, { names: [], journal })
    undo.push(detach)
    const sandbox = await prepared.start()
    const record = { ...pending, bootMs: Math.round((performance.now() - began) * 10) / 10 }
    journal.update(record)
    return startedRun({ sandbox, record, journal, detach, end: prepared.end, gateway, log })
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => {}) // the first failure is the one to tell
    gateway.close()
    journal?.end({ ...pending, endedAt: new Date().toISOString() })
    throw error
  }
}

/** Lets a shard accept on the sockets; the result takes the sandbox off it and may be called again. */
export async function attachProxy(
  supervisor: Supervisor,
  { identity, gateway }: Pick<BootRequest, 'identity' | 'gateway'>,
  sockets: SandboxSockets,
  { names, journal }: { readonly names: readonly string[]; readonly journal: Journal },
): Promise<() => Promise<SandboxCounters>> {
  const { isolation } = gateway.policy()
  const attached = await supervisor.attach({
    ...{ identity, gateway: gateway.key, isolation, sockets, names },
    journal: journal.name,
  })
  let counters: Promise<SandboxCounters> | null = null
  return () => {
    counters ??= attached.detach()
    return counters
  }
}

/** A sandbox that runs, with the record that it will have: one, whatever fails at its end. */
export function startedRun(run: {
  readonly sandbox: RunningSandbox
  readonly record: RunRecord
  readonly journal: Journal
  readonly detach: () => Promise<SandboxCounters>
  readonly end: Prepared['end']
  readonly gateway: GatewayHandle
  readonly log: Booting['log']
}): StartedRun {
  const { sandbox, journal, detach, end, gateway, log } = run
  const attempt = (step: Promise<void>) =>
    step.then(
      () => true,
      error => {
        log('warn', `${sandbox.id}: ${messageOf(error)}`)
        return false
      },
    )
  const finish = async () => {
    const exit = await sandbox.exited
    const isClean = await attempt(sandbox.stop())
    const { connections, requests, injected, denied } = await detach()
    await attempt(end(isClean))
    const counters = { connections, requests, injected, denied }
    const record: RunRecord = { ...run.record, exit, endedAt: new Date().toISOString(), ...counters }
    journal.end(record)
    return record
  }
  return { sandbox, record: finish().finally(gateway.close) }
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
