/**
 * The worker: root, owns namespaces, sockets, CA keys and secrets; parses nothing that an agent sent. Its process entry
 * is src/api/main.ts, which adds the control socket.
 */
import { accessSync, mkdirSync, readdirSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { clrkError, messageOf } from '../errors.ts'
import { forbidCoreDump, mountTmpfs } from '../kernel/syscalls.ts'
import { LIMITS } from '../limits.ts'
import type { DaemonAgent, TaskAgent } from '../resources/agents.ts'
import { nameOf } from '../resources/load.ts'
import { gatewayOf } from '../resources/references.ts'
import { createLocalRuntime, type LocalRuntime } from '../runtimes/local.ts'
import { takeUidRange } from '../runtimes/uid-range.ts'
import { readHostRoots } from '../trust/image-roots.ts'
import { adoptSandbox } from './adopt.ts'
import { type BootRequest, bootSandbox, newSandboxId, type Preparing } from './boot.ts'
import { createEngineConnection, prepareImage } from './boot-image.ts'
import { prepareLocal } from './boot-local.ts'
import type { AgentSummary, RunRequest, StartedRun, WorkerControl, WorkerEvent, WorkerStatus } from './control.ts'
import { createGateways, type GatewayHandle, qualify } from './gateways.ts'
import { openLineLog } from './line-log.ts'
import { createReconciler } from './reconcile.ts'
import { openRuns } from './runs.ts'
import { shardFiles } from './shard-spec.ts'
import type { State } from './state.ts'
import { superviseShards } from './supervise.ts'

/** Empty in every Debian; the worker's private mount namespace may cover it without anybody seeing. */
const STAGING_PLACES = ['/mnt', '/srv', '/media']
const STAGING_BYTES = 268_435_456

const DEFAULT_PIDS = 4_096

export async function createWorker(state: State, version: string): Promise<WorkerControl> {
  forbidCoreDump()
  process.stderr.on('error', () => {}) // worker.log is on a disk that may be full
  const listeners = new Set<(event: WorkerEvent) => void>()
  const emit = (event: WorkerEvent) => {
    for (const listener of listeners) listener(event)
  }
  const log = (level: 'info' | 'warn' | 'error', message: string) => {
    process.stderr.write(`${new Date().toISOString()} ${level} ${message}\n`)
    emit({ type: 'log', level, message })
  }
  const audit = openLineLog(join(state.audit, 'audit.jsonl'), LIMITS.auditFileBytes, LIMITS.auditFiles, reason =>
    log('error', `the audit log cannot be written: ${reason}`),
  )
  const runs = openRuns(state.runs, state.running, reason => log('error', `run records cannot be kept: ${reason}`))
  const staging = prepareStaging()
  const runtime: LocalRuntime = createLocalRuntime({
    stateId: state.id,
    state: state.directory,
    staging: join(staging, 'sandboxes'),
  })
  await runtime.sweep()
  const hostRoots = readHostRoots()
  const shardIds = await takeUidRange()
  const gateways = createGateways(state, key => supervisor.gatewayChanged(key))
  const supervisor = superviseShards({
    files: shardFiles(),
    uid: shardIds.base,
    roots: hostRoots.bundles[0]?.pem ?? rootCertificates.join('\n'),
    gatewayState: gateways.state,
    sign: gateways.sign,
    audit: line => {
      audit.append(line)
      emit({ type: 'audit', line })
    },
    telemetry: (signal, payload) => emit({ type: 'telemetry', signal, payload }),
    log,
  })
  const local = { runtime, hostRoots, trustDirectory: join(staging, 'trust') }
  const engine = createEngineConnection(state)
  const reconciler = createReconciler({ engine, interrupted: runs.interrupted, log })
  await reconciler.begin()
  const booting = { supervisor, runs, log }
  const live = new Map<string, { started: StartedRun; agent: string; gateway: string; done: Promise<unknown> }>()
  let programDirectory: string | null = null
  let stopping = false

  function agents(): readonly (TaskAgent | DaemonAgent)[] {
    return gateways.resources().filter(resource => resource.kind === 'TaskAgent' || resource.kind === 'DaemonAgent')
  }

  async function run(request: RunRequest, abort: AbortSignal, progress: (line: string) => void): Promise<StartedRun> {
    if (stopping) throw clrkError('CLRK_WORKER_GONE', { state: state.directory, reason: 'it is stopping' })
    const boot = bootOf(newSandboxId(), request)
    const prepare = preparing(boot, request.runtime, progress)
    const adopted = await adoptSandbox(booting, reconciler, boot)
    const started = adopted ?? (await bootSandbox(booting, boot, prepare))
    const { id } = started.sandbox
    const stop = () => void started.sandbox.stop().catch(error => log('warn', `${id}: ${messageOf(error)}`))
    const ran = adopted === null ? 0 : Date.now() - adopted.startedAt
    const timer = boot.timeoutMs === null ? null : setTimeout(stop, Math.max(0, boot.timeoutMs - ran))
    abort.addEventListener('abort', stop)
    if (abort.aborted) stop()
    const done = started.record.catch(error => log('error', `${id}: ${messageOf(error)}`))
    live.set(id, { started, agent: boot.identity.agentName, gateway: boot.gateway.name, done })
    void done.finally(() => {
      live.delete(id)
      if (timer !== null) clearTimeout(timer)
      abort.removeEventListener('abort', stop)
    })
    return started
  }

  function bootOf(id: string, request: RunRequest): BootRequest {
    return request.what.kind === 'agent' ? agentBoot(id, request) : commandBoot(id, request)
  }

  /** Throws CLRK_ARGUMENT_INVALID where the runtime that is asked for cannot boot this. */
  function preparing(boot: BootRequest, wanted: RunRequest['runtime'], progress: (line: string) => void): Preparing {
    const refuse = (reason: string, fix: string) =>
      clrkError('CLRK_ARGUMENT_INVALID', { argument: '--runtime', reason, fix })
    if (boot.image === null) {
      if (wanted === 'docker') throw refuse('docker needs an image', 'Name one with --image, or image in the template.')
      return prepareLocal(local, boot)
    }
    if (wanted === 'local') throw refuse('local runs programs of this machine, not images', 'Use --runtime docker.')
    return prepareImage({ engine, reconciler, progress }, boot, boot.image)
  }

  function commandBoot(id: string, request: RunRequest): BootRequest {
    const { what, image } = request
    if (what.kind !== 'command') throw clrkError('CLRK_INTERNAL', { reason: 'not a command' })
    const [program = image] = what.argv
    if (program === null) throw clrkError('CLRK_INTERNAL', { reason: 'a run without a command or an image' })
    return {
      identity: {
        id,
        agentKind: 'Run',
        agentNamespace: 'default',
        agentName: program.split('/').pop() ?? program,
        runtime: image === null ? 'local' : 'docker',
      },
      gateway: gateways.forRun(id, what),
      image,
      readOnlyRoot: request.readOnly,
      command: what.argv,
      args: [],
      environment: {},
      user: request.user,
      limits: {
        memoryBytes: request.memoryBytes ?? Math.floor(totalmem() * 0.8),
        cpus: request.cpus ?? availableParallelism(),
        pids: request.pids ?? DEFAULT_PIDS,
      },
      workingDirectory: null,
      programDirectory: null,
      timeoutMs: null,
      surroundings: request,
    }
  }

  function agentBoot(id: string, request: RunRequest): BootRequest {
    const { what } = request
    if (what.kind !== 'agent') throw clrkError('CLRK_INTERNAL', { reason: 'not an agent' })
    const agent = agents().find(a => a.kind === what.agentKind && nameOf(a) === qualify(what.name))
    if (agent === undefined) {
      const reason = `there is no ${what.agentKind} ${what.name}`
      throw clrkError('CLRK_ARGUMENT_INVALID', { argument: 'agent', reason, fix: 'Apply its manifest first.' })
    }
    const { template, resources } = agent.spec
    const { command, args, env } = template.spec
    const image = request.image ?? template.spec.image
    return {
      identity: {
        id,
        agentKind: agent.kind,
        agentNamespace: agent.metadata.namespace,
        agentName: agent.metadata.name,
        runtime: image === null ? 'local' : 'docker',
      },
      gateway: agentGateway(id, agent),
      image,
      readOnlyRoot: request.readOnly || template.spec.readOnlyRootFilesystem,
      command,
      args,
      environment: Object.fromEntries(env.map(({ name, value }) => [name, value])),
      user: request.user ?? template.spec.user,
      limits: {
        memoryBytes: request.memoryBytes ?? resources.memory,
        cpus: request.cpus ?? resources.cpu,
        pids: request.pids ?? DEFAULT_PIDS,
      },
      workingDirectory: template.spec.workingDir,
      programDirectory,
      timeoutMs: agent.kind === 'TaskAgent' ? agent.spec.timeout : lifetimeMs(agent),
      surroundings: request,
    }
  }

  function agentGateway(id: string, agent: TaskAgent | DaemonAgent): GatewayHandle {
    const name = gatewayOf(agent)
    return name === null ? gateways.closed(id) : gateways.find(name)
  }

  return {
    status: (): WorkerStatus => ({
      version,
      pid: process.pid,
      state: state.directory,
      shards: supervisor.status(),
      sandboxes: [...live].map(([id, { agent, gateway }]) => ({ id, agent, gateway })),
    }),
    apply: async request => {
      const warnings = gateways.apply(request)
      programDirectory = request.programDirectory
      return {
        agents: agents().map(
          (agent): AgentSummary => ({
            kind: agent.kind,
            name: nameOf(agent),
            gateway: gatewayOf(agent),
            ...(agent.kind === 'DaemonAgent'
              ? { restart: { policy: agent.spec.restartPolicy, maximum: agent.spec.maxRestarts } }
              : {}),
          }),
        ),
        gateways: gateways
          .resources()
          .filter(r => r.kind === 'EgressGateway')
          .map(nameOf),
        warnings,
      }
    },
    setSecret: async secret => ({ keys: gateways.setSecret(secret) }),
    run,
    watch: listener => {
      listeners.add(listener)
      supervisor.watch(true)
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0) supervisor.watch(false)
      }
    },
    shutdown: async () => {
      stopping = true
      const ending = [...live.values()]
      await Promise.allSettled(ending.map(({ started }) => started.sandbox.stop())) // `done` tells of failures
      await Promise.all(ending.map(({ done }) => done))
      await reconciler.close()
      await supervisor.stop()
      shardIds.release()
      runs.close()
      await audit.close()
      state.close()
    },
  }
}

function lifetimeMs({ spec }: DaemonAgent): number | null {
  return spec.maxLifetimeSeconds === 0 ? null : spec.maxLifetimeSeconds * 1000
}

/** A tmpfs over an empty directory of the host, in our own mount namespace: gone with this process. */
function prepareStaging(): string {
  const place = STAGING_PLACES.find(isEmptyDirectory) ?? '/dev/shm'
  mountTmpfs(place, STAGING_BYTES)
  for (const name of ['sandboxes', 'trust']) mkdirSync(join(place, name), { mode: 0o755 })
  return place
}

function isEmptyDirectory(path: string): boolean {
  try {
    accessSync(path)
    return readdirSync(path).length === 0
  } catch {
    return false
  }
}
