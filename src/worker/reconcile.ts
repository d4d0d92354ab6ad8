/**
 * What is on the engine, made to agree with what this worker runs: what a killed worker left is held until its agent is
 * asked for again, or removed; what a failing engine kept is removed when it is back. Nothing that does not verify is
 * ever held, and nothing that is held counts as running.
 */
import { messageOf } from '../errors.ts'
import { duplicateDescriptor } from '../kernel/syscalls.ts'
import { LIMITS } from '../limits.ts'
import { adoptNamespace } from '../plumbing/adopt.ts'
import type { PlumbedNamespace } from '../plumbing/netns.ts'
import type { FoundSandbox, ImageRuntime, PreparedNamespace, RunningImageSandbox } from '../runtimes/image-runtime.ts'
import type { SandboxExit } from '../runtimes/runtime.ts'
import type { EngineConnection } from './boot-image.ts'
import type { RunRecord } from './control.ts'
import type { Interrupted } from './runs.ts'

/** A sandbox of an earlier worker: its namespace is proven, its sockets are there, and what connects to them waits. */
export type Held = {
  readonly left: Interrupted
  readonly pod: PreparedNamespace
  readonly namespace: PlumbedNamespace
  /** Attends to the agent. */
  readonly adopt: () => Promise<RunningImageSandbox>
}

export type Reconciler = {
  /** Has a first look at the engine, where this state has ever used one. Never rejects: it looks again later. */
  readonly begin: () => Promise<void>
  /** Sandbox `id` is about to be booted. Rejects where the engine cannot be asked what an earlier worker left on it. */
  readonly own: (id: string) => Promise<void>
  /** Nothing of sandbox `id` is needed any more; unless it `isClean`, its containers are removed, now or later. */
  readonly disown: (id: string, isClean: boolean) => Promise<void>
  /** The sandbox of that agent, booted as `digest` says; whoever takes it owns it. One booted otherwise is removed. */
  readonly take: (agentKind: string, agent: string, digest: string | null) => Promise<Held | null>
  /** Removes what is still held. */
  readonly close: () => Promise<void>
}

export function createReconciler(options: {
  readonly engine: EngineConnection
  readonly interrupted: readonly Interrupted[]
  readonly log: (level: 'info' | 'warn', message: string) => void
}): Reconciler {
  const { engine, log } = options
  const left = new Map(options.interrupted.map(it => [it.record.id, it]))
  const owned = new Set<string>()
  const held = new Map<string, Held>()
  let isClean = !engine.isUsed()
  let isFirst = true
  let looking: Promise<void> | null = null
  let timer: NodeJS.Timeout | null = null
  let isClosed = false

  /** One look at a time; who comes during one waits for the next, which sees what it came for. */
  async function look(): Promise<void> {
    while (looking !== null) await looking.catch(() => {})
    if (isClean) return
    looking = lookNow().finally(() => {
      looking = null
    })
    return looking
  }

  async function lookNow(): Promise<void> {
    const runtime = await engine.connected()
    isClean = true // unless something goes wrong from here on
    try {
      const all = (await runtime.list()).filter(({ sandbox }) => !owned.has(sandbox) && !held.has(sandbox))
      const settling = all.map(async found => {
        const journalled = left.get(found.sandbox)
        left.delete(found.sandbox)
        await settle(runtime, found, journalled)
      })
      for (const result of await Promise.allSettled(settling)) if (result.status === 'rejected') throw result.reason
      for (const { record, journal } of left.values()) if (record.runtime === 'docker') journal.end(ended(record, null))
      left.clear()
      isFirst = false
    } catch (error) {
      isClean = false
      throw error
    }
  }

  /** Holds what can be adopted, removes everything else. */
  async function settle(
    runtime: ImageRuntime,
    found: FoundSandbox,
    journalled: Interrupted | undefined,
  ): Promise<void> {
    if (journalled?.digest != null && isFirst && !isClosed) {
      try {
        held.set(found.sandbox, await hold(runtime, found, journalled))
        setTimeout(() => void release(found.sandbox, 'nobody asked for it'), LIMITS.adoptMs).unref()
        return
      } catch (error) {
        log('warn', `${found.sandbox} of an earlier worker is not adopted: ${messageOf(error)}`)
      }
    }
    try {
      const exit = await runtime.exitOf(found)
      await runtime.remove(found.sandbox)
      journalled?.journal.end(ended(journalled.record, exit))
    } catch (error) {
      if (journalled !== undefined) left.set(found.sandbox, journalled) // the next look has another go at it
      throw error
    }
  }

  async function hold(runtime: ImageRuntime, found: FoundSandbox, journalled: Interrupted): Promise<Held> {
    const pod = await runtime.reopen(found)
    try {
      const namespace = await adoptNamespace(duplicateDescriptor(pod.netns))
      return { left: journalled, pod, namespace, adopt: () => runtime.adopt(found) }
    } catch (error) {
      await pod.release().catch(() => {}) // what is left is removed next
      throw error
    }
  }

  async function release(id: string, reason: string): Promise<void> {
    const it = held.get(id)
    if (it === undefined) return
    held.delete(id)
    left.set(id, { ...it.left, digest: null })
    log('info', `${id} of an earlier worker is removed: ${reason}`)
    it.namespace.close()
    isClean = false
    await tryLook()
    await it.pod.release().catch(() => {})
  }

  async function tryLook(): Promise<void> {
    try {
      await look()
    } catch (error) {
      if (timer === null) log('warn', `containers could not be looked for: ${messageOf(error)}`)
    }
    if (timer !== null) clearTimeout(timer)
    timer = isClean || isClosed ? null : setTimeout(() => void tryLook(), LIMITS.engineLookMs)
    timer?.unref()
  }

  return {
    begin: async () => {
      for (const [id, { record, journal }] of left) {
        if (record.runtime === 'docker' && !isClean) continue
        left.delete(id)
        journal.end(ended(record, null)) // local sandboxes ended with their worker, and their cgroups are swept
      }
      await tryLook()
    },
    own: async id => {
      await look()
      owned.add(id)
    },
    disown: async (id, nothingLeft) => {
      owned.delete(id)
      if (nothingLeft) return
      isClean = false
      await tryLook()
    },
    take: async (agentKind, agent, digest) => {
      if (digest === null) return null
      if (!isClean) await tryLook()
      for (const [id, it] of held) {
        const { record } = it.left
        if (record.agentKind !== agentKind || record.agent !== agent) continue
        if (it.left.digest !== digest) {
          await release(id, 'its manifest, policy or CA is another one now')
          continue
        }
        held.delete(id)
        owned.add(id)
        return it
      }
      return null
    },
    close: async () => {
      isClosed = true
      if (timer !== null) clearTimeout(timer)
      for (const id of [...held.keys()]) await release(id, 'the worker ends')
      if (!isClean) await tryLook()
    },
  }
}

/** The record of a run that ended while nobody looked. */
export function ended(record: RunRecord, exit: SandboxExit | null): RunRecord {
  return { ...record, endedAt: new Date().toISOString(), exit: exit ?? { code: null, signal: 'SIGKILL' } }
}
