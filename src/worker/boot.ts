/**
 * One sandbox from request to record: namespace plumbed and proven, trust prepared, proxy attached, and only then the
 * agent. Whatever fails on the way undoes what was done before it.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { plumbNamespace } from '../plumbing/netns.ts'
import { hostFiles } from '../runtimes/host-files.ts'
import type { LocalRuntime } from '../runtimes/local.ts'
import type { RunningSandbox, SandboxLimits, SandboxSpec } from '../runtimes/runtime.ts'
import { toolsOnPath } from '../runtimes/tools-on-path.ts'
import type { SandboxCounters, SandboxIdentity } from '../shard/protocol.ts'
import type { HostRoots } from '../trust/image-roots.ts'
import { installTrust } from '../trust/install.ts'
import { planTrust } from '../trust/plan.ts'
import type { RunRecord, RunRequest, StartedRun } from './control.ts'
import type { GatewayHandle } from './gateways.ts'
import type { Supervisor } from './supervise.ts'
import { sandboxEnvironment } from './surroundings.ts'

export type BootEnvironment = {
  readonly runtime: LocalRuntime
  readonly supervisor: Supervisor
  /** The host's roots, read once. */
  readonly hostRoots: HostRoots
  /** Where trust files are prepared: a tmpfs that any uid can reach. */
  readonly trustDirectory: string
}

/** What is to run, whoever asked for it. */
export type BootRequest = {
  readonly identity: SandboxIdentity
  readonly gateway: GatewayHandle
  readonly argv: readonly [string, ...string[]]
  /** The agent's own variables. */
  readonly environment: Readonly<Record<string, string>>
  readonly user: { readonly uid: number; readonly gid: number }
  readonly limits: SandboxLimits
  /** Null: the caller's directory where it is shown inside, else the workspace or home. */
  readonly workingDirectory: string | null
  /** A directory of the agent's program, shown read-only with the node_modules that Node would search from it. */
  readonly programDirectory: string | null
  /** When it is stopped, from its start; null: never. */
  readonly timeoutMs: number | null
  readonly surroundings: Pick<RunRequest, 'callerEnvironment' | 'callerDirectory' | 'workspace' | 'stdio'>
}

/** Ids are DNS labels; 40 random bits keep twenty thousand apart. */
export function newSandboxId(): string {
  return `sb-${randomBytes(5).toString('hex')}`
}

export async function bootSandbox(environment: BootEnvironment, request: BootRequest): Promise<StartedRun> {
  const { identity, gateway } = request
  const startedAt = new Date()
  const began = performance.now()
  const undo: (() => Promise<unknown>)[] = []
  const abandon = async () => {
    for (const step of undo.reverse()) await step().catch(() => {}) // the first failure is the one to tell
  }
  try {
    const plumbing = plumbNamespace()
    undo.push(async () => (await plumbing).close())
    const spec = sandboxSpec(environment, request) // while ip and nft work
    const namespace = await plumbing
    const attached = await environment.supervisor.attach({
      identity,
      gateway: gateway.key,
      isolation: gateway.policy().isolation,
      sockets: namespace.sockets,
    })
    let counters: Promise<SandboxCounters> | null = null
    const detach = () => {
      counters ??= attached.detach()
      return counters
    }
    undo.push(detach)
    const sandbox = await environment.runtime.start(spec, { path: namespace.path })
    const bootMs = performance.now() - began
    const record = finish(sandbox, detach, namespace.close).then(
      ({ exit, counters: { connections, requests, injected, denied } }): RunRecord => ({
        id: identity.id,
        agentKind: identity.agentKind,
        agent: `${identity.agentNamespace}/${identity.agentName}`,
        gateway: gateway.name,
        policyDigest: gateway.policy().digest,
        runtime: 'local',
        command: request.argv,
        startedAt: startedAt.toISOString(),
        endedAt: new Date().toISOString(),
        bootMs: Math.round(bootMs * 10) / 10,
        exit,
        connections,
        requests,
        injected,
        denied,
      }),
    )
    return { sandbox, record: record.finally(gateway.close) }
  } catch (error) {
    await abandon()
    gateway.close()
    throw error
  }
}

async function finish(sandbox: RunningSandbox, detach: () => Promise<SandboxCounters>, close: () => void) {
  const exit = await sandbox.exited
  await sandbox.stop()
  const counters = await detach()
  close()
  return { exit, counters }
}

function sandboxSpec(environment: BootEnvironment, request: BootRequest): SandboxSpec {
  const { gateway, surroundings } = request
  const { callerEnvironment, callerDirectory, workspace, stdio } = surroundings
  const home = callerEnvironment.HOME ?? homedir()
  const tools = toolsOnPath(hostFiles, { path: callerEnvironment.PATH ?? '', home, workspace })
  const { authority } = gateway
  const files = planTrust(environment.hostRoots, authority.certificatePem, authority.subjectHash)
  const trust = installTrust(files, environment.trustDirectory)
  const program = request.programDirectory
  return {
    id: request.identity.id,
    argv: request.argv,
    environment: sandboxEnvironment({
      caller: callerEnvironment,
      path: tools.path,
      home,
      trust: trust.environment,
      policy: gateway.policy(),
      own: request.environment,
    }),
    workingDirectory: request.workingDirectory ?? program ?? visibleDirectory(callerDirectory, workspace, home),
    user: request.user,
    home,
    workspace,
    readOnly: [...tools.readOnly, ...(program === null ? [] : [program, ...moduleDirectories(program)])],
    trust,
    limits: request.limits,
    stdio,
  }
}

/** The caller's own directory where the sandbox shows it, as a program that is started directly would have. */
function visibleDirectory(directory: string, workspace: string | null, home: string): string {
  const shown = [workspace, '/usr', '/etc', '/opt'].filter(path => path !== null)
  if (shown.some(path => directory === path || directory.startsWith(`${path}/`))) return directory
  return workspace ?? home
}

/** The `node_modules` that Node searches from a program: its own and those of the directories above it. */
function moduleDirectories(program: string): readonly string[] {
  const found: string[] = []
  for (let at = program; at !== dirname(at); at = dirname(at)) {
    const modules = join(at, 'node_modules')
    if (at !== program && existsSync(modules)) found.push(modules)
  }
  return found
}
