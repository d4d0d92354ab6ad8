/**
 * Shards: started on demand up to one a core, each sandbox assigned to exactly one, restarted when they die. The
 * sockets of a sandbox stay open in the worker meanwhile, so connections wait instead of failing, and no other shard
 * notices.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { clrkError } from '../errors.ts'
import { closeDescriptor, descriptorChannel, sendDescriptors } from '../kernel/syscalls.ts'
import { LIMITS } from '../limits.ts'
import type { SandboxSockets } from '../plumbing/sockets.ts'
import { TOOL_PATH } from '../plumbing/tool-path.ts'
import type {
  AuditLine,
  GatewayState,
  SandboxCounters,
  SandboxIdentity,
  SignedLeaf,
  ToShard,
  ToWorker,
} from '../shard/protocol.ts'
import { CODE_CACHE } from './code-cache.ts'
import { type ShardFiles, shardArgv } from './shard-spec.ts'

export type Attachment = {
  readonly identity: SandboxIdentity
  readonly gateway: string
  /** `process`: a shard of its own, which ends with it. */
  readonly isolation: 'shared' | 'process'
  readonly sockets: SandboxSockets
  /** Names that have a virtual address already, in its order: those of a sandbox that was adopted. */
  readonly names: readonly string[]
  /** Keeps the next one for the next worker; called before it is answered. */
  readonly journal: (name: string) => void
}

export type Attached = {
  readonly shard: number
  /** Takes the sandbox off its shard; its last counters. */
  readonly detach: () => Promise<SandboxCounters>
}

export type Supervisor = {
  /** Resolves when the sandbox's proxy accepts. */
  readonly attach: (attachment: Attachment) => Promise<Attached>
  /** A gateway's policy or secrets changed: every shard that hosts a sandbox of it hears of it at once. */
  readonly gatewayChanged: (gateway: string) => void
  readonly watch: (on: boolean) => void
  readonly status: () => readonly { index: number; pid: number | null; sandboxes: number; restarts: number }[]
  readonly stop: () => Promise<void>
}

export type SupervisorOptions = {
  readonly files: ShardFiles
  /** First of a range of host uids; shard n runs as `uid + n`. */
  readonly uid: number
  readonly roots: string
  readonly gatewayState: (gateway: string) => GatewayState | null
  /** A certificate for `name` under the gateway's CA, for a public key (SPKI DER). Throws on an odd name. */
  readonly sign: (gateway: string, name: string, publicKey: Buffer) => SignedLeaf
  readonly audit: (line: AuditLine) => void
  readonly telemetry: (signal: 'traces' | 'logs', payload: string) => void
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void
}

type Hosted = Omit<Attachment, 'names'> & {
  readonly names: string[]
  attached: { resolve: () => void; reject: (error: Error) => void } | null
  detached: ((counters: SandboxCounters) => void) | null
}

type Shard = {
  readonly index: number
  readonly shared: boolean
  readonly sandboxes: Map<string, Hosted>
  child: ChildProcess | null
  channel: number
  leafKey: Buffer | null
  pid: number | null
  restarts: number
  dead: number
  ending: boolean
}

const NOTHING: SandboxCounters = { connections: 0, requests: 0, injected: 0, denied: 0, recorded: 0 }

/** Host uids for shards; a dedicated one comes back to an id long after its last user ended. */
const SHARD_IDS = 65_536

/** A sandbox that waits for a shard which keeps dying is told after so many times. */
const ATTEMPTS = 4

export function superviseShards(options: SupervisorOptions): Supervisor {
  const { log } = options
  const shards: Shard[] = []
  let started = 0
  let stopping = false
  let watching = false

  function start(shard: Shard): void {
    const [ours, theirs] = descriptorChannel()
    const [program = '', ...args] = shardArgv(options.files, options.uid + (shard.index % SHARD_IDS))
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe', theirs, 'ipc'],
      env: { PATH: TOOL_PATH, UV_THREADPOOL_SIZE: '16', NODE_COMPILE_CACHE: CODE_CACHE },
      serialization: 'json',
    })
    closeDescriptor(theirs)
    shard.child = child
    shard.channel = ours
    child.stdout?.on('data', (text: Buffer) => log('info', `shard ${shard.index}: ${text.toString().trimEnd()}`))
    child.stderr?.on('data', (text: Buffer) => log('warn', `shard ${shard.index}: ${text.toString().trimEnd()}`))
    child.on('error', error => log('error', `shard ${shard.index}: ${error.message}`))
    child.on('message', message => {
      if (shard.child === child) receive(shard, message as ToWorker)
    })
    child.on('exit', (code, signal) => died(shard, child, code, signal))
    send(shard, { type: 'start', shard: shard.index, roots: options.roots })
  }

  function died(shard: Shard, child: ChildProcess, code: number | null, signal: string | null): void {
    if (shard.child !== child) return
    // What ended is bwrap: the shard in it may still be there and speak, killed in the moment before it would end with it.
    if (child.connected) child.disconnect()
    closeDescriptor(shard.channel)
    shard.channel = -1
    shard.child = null
    shard.leafKey = null
    shard.pid = null
    for (const hosted of shard.sandboxes.values()) {
      hosted.detached?.(NOTHING)
      hosted.detached = null
    }
    if (stopping || shard.ending) return
    shard.restarts += 1
    shard.dead += 1
    const wait = Math.min(LIMITS.shardRestartMs * 2 ** (shard.dead - 1), LIMITS.shardRestartMaximumMs)
    const reason = `shard ${shard.index} ended (${signal ?? code})`
    log('error', `${reason}, started again in ${wait} ms`)
    if (shard.dead > ATTEMPTS) for (const id of shard.sandboxes.keys()) settle(shard, id, reason)
    setTimeout(() => {
      if (!stopping && !shard.ending) start(shard)
    }, wait)
  }

  function send(shard: Shard, message: ToShard): void {
    if (shard.child?.connected)
      shard.child.send(message, error => {
        if (error !== null) log('warn', `shard ${shard.index}: ${error.message}`)
      })
  }

  function receive(shard: Shard, message: ToWorker): void {
    switch (message.type) {
      case 'ready':
        shard.leafKey = Buffer.from(message.leafKey, 'base64')
        shard.pid = message.pid
        if (watching) send(shard, { type: 'watch', on: true })
        for (const gateway of new Set([...shard.sandboxes.values()].map(hosted => hosted.gateway))) {
          sendGateway(shard, gateway)
        }
        for (const hosted of shard.sandboxes.values()) sendAttach(shard, hosted)
        return
      case 'attached':
        shard.dead = 0
        settle(shard, message.sandbox, null)
        return
      case 'attach-failed':
        settle(shard, message.sandbox, message.reason)
        return
      case 'detached': {
        const hosted = shard.sandboxes.get(message.sandbox)
        hosted?.detached?.(message.counters)
        return
      }
      case 'sign':
        return sign(shard, message.wanted)
      case 'journal': {
        const hosted = shard.sandboxes.get(message.sandbox)
        if (hosted === undefined || hosted.names.length !== message.index) return
        if (message.index >= LIMITS.namesPerSandbox || !/^[!-~]{1,253}$/.test(message.name)) return
        hosted.journal(message.name)
        hosted.names.push(message.name)
        send(shard, { type: 'journalled', sandbox: message.sandbox, index: message.index })
        return
      }
      case 'audit':
        return options.audit(message.line)
      case 'telemetry':
        return options.telemetry(message.signal, message.payload)
      case 'log':
        return log(message.level, `shard ${shard.index}: ${message.message}`)
    }
  }

  function sign(shard: Shard, wanted: Extract<ToWorker, { type: 'sign' }>['wanted']): void {
    const hosts = new Set([...shard.sandboxes.values()].map(({ gateway }) => gateway))
    const { leafKey } = shard
    const signed = (gateway: string, name: string): SignedLeaf | null => {
      if (leafKey === null || !hosts.has(gateway)) return null
      try {
        return options.sign(gateway, name, leafKey)
      } catch (error) {
        log('warn', `no certificate for ${JSON.stringify(name)}: ${error instanceof Error ? error.message : error}`)
        return null
      }
    }
    const leaves = wanted.map(({ request, gateway, name }) => ({ request, leaf: signed(gateway, name) }))
    send(shard, { type: 'signed', leaves })
  }

  function settle(shard: Shard, sandbox: string, failure: string | null): void {
    const hosted = shard.sandboxes.get(sandbox)
    if (hosted === undefined || hosted.attached === null) return
    const { resolve, reject } = hosted.attached
    hosted.attached = null
    if (failure === null) return resolve()
    reject(
      clrkError('CLRK_SANDBOX_FAILED', { step: 'its proxy', reason: failure, fix: 'See worker.log in the state.' }),
    )
  }

  function sendGateway(shard: Shard, gateway: string): void {
    const state = options.gatewayState(gateway)
    if (state === null) send(shard, { type: 'forget-gateway', gateway })
    else send(shard, { type: 'gateway', gateway, state })
  }

  function sendAttach(shard: Shard, hosted: Hosted): void {
    try {
      sendDescriptors(shard.channel, hosted.identity.id, hosted.sockets)
    } catch (error) {
      return settle(shard, hosted.identity.id, error instanceof Error ? error.message : String(error))
    }
    send(shard, { type: 'attach', sandbox: hosted.identity, gateway: hosted.gateway, names: hosted.names })
  }

  function addShard(shared: boolean): Shard {
    const shard: Shard = {
      index: started++,
      shared,
      sandboxes: new Map(),
      child: null,
      channel: -1,
      leafKey: null,
      pid: null,
      restarts: 0,
      dead: 0,
      ending: false,
    }
    shards.push(shard)
    start(shard)
    return shard
  }

  function choose(isolation: Attachment['isolation']): Shard {
    if (isolation === 'process') return addShard(false)
    const shared = shards.filter(shard => shard.shared)
    const [least] = shared.sort((a, b) => a.sandboxes.size - b.sandboxes.size)
    const full = least === undefined || (least.sandboxes.size > 0 && shared.length < availableParallelism())
    return full ? addShard(true) : least
  }

  addShard(true) // so that the first sandbox does not wait for it

  return {
    attach: attachment => {
      const shard = choose(attachment.isolation)
      const hosted: Hosted = { ...attachment, names: [...attachment.names], attached: null, detached: null }
      const { id } = attachment.identity
      const knows = [...shard.sandboxes.values()].some(other => other.gateway === attachment.gateway)
      shard.sandboxes.set(id, hosted)
      const attached = new Promise<void>((resolve, reject) => {
        hosted.attached = { resolve, reject }
      })
      if (shard.leafKey !== null) {
        if (!knows) sendGateway(shard, attachment.gateway)
        sendAttach(shard, hosted)
      }
      return attached.then(
        () => ({ shard: shard.index, detach: () => detach(shard, hosted) }),
        async error => {
          await detach(shard, hosted)
          throw error
        },
      )
    },
    gatewayChanged: gateway => {
      for (const shard of shards) {
        if (shard.leafKey === null) continue
        if ([...shard.sandboxes.values()].some(hosted => hosted.gateway === gateway)) sendGateway(shard, gateway)
      }
    },
    watch: on => {
      watching = on
      for (const shard of shards) send(shard, { type: 'watch', on })
    },
    status: () =>
      shards.map(({ index, pid, sandboxes, restarts }) => ({ index, pid, sandboxes: sandboxes.size, restarts })),
    stop: async () => {
      stopping = true
      await Promise.all(shards.map(stopShard))
    },
  }

  async function detach(shard: Shard, hosted: Hosted): Promise<SandboxCounters> {
    const { id } = hosted.identity
    const counters = await new Promise<SandboxCounters>(resolve => {
      if (shard.leafKey === null) return resolve(NOTHING)
      hosted.detached = resolve
      send(shard, { type: 'detach', sandbox: id })
    })
    shard.sandboxes.delete(id)
    if (!shard.shared) {
      shards.splice(shards.indexOf(shard), 1)
      shard.ending = true
      await stopShard(shard)
      return counters
    }
    const last = ![...shard.sandboxes.values()].some(other => other.gateway === hosted.gateway)
    if (last) send(shard, { type: 'forget-gateway', gateway: hosted.gateway })
    return counters
  }
}

/** A shard ends by itself when its channel closes; one that does not is killed. */
function stopShard({ child }: Shard): Promise<void> {
  return new Promise(resolve => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return resolve()
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMITS.stopGraceMs)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    if (child.connected) child.disconnect()
  })
}
