/** A sandbox of an earlier worker becomes one of this worker: its names known, its proxy attached, its agent attended to. */
import type { RunningSandbox } from '../runtimes/runtime.ts'
import { attachProxy, type Booting, type BootRequest, bootDigest, startedRun } from './boot.ts'
import { endPod } from './boot-image.ts'
import type { StartedRun } from './control.ts'
import { ended, type Reconciler } from './reconcile.ts'

export type Adopted = StartedRun & {
  /** When it was started, Unix milliseconds. */
  readonly startedAt: number
}

/**
 * Instead of a boot, where an earlier worker left this very agent running; null where it did not, or where it cannot be
 * attended to: it is removed then, and its record says that it was killed. Counters of its record begin anew.
 */
export async function adoptSandbox(
  { supervisor, log }: Booting,
  reconciler: Reconciler,
  request: BootRequest,
): Promise<Adopted | null> {
  const { identity, gateway } = request
  const agent = `${identity.agentNamespace}/${identity.agentName}`
  const held = await reconciler.take(identity.agentKind, agent, bootDigest(request))
  if (held === null) return null
  const { record, names, journal } = held.left
  const { id } = record
  const end = (isClean: boolean) => endPod(reconciler, id, { ...held, isClean })
  const mine = { identity: { ...identity, id }, gateway }
  let detach: Awaited<ReturnType<typeof attachProxy>> | null = null
  let sandbox: RunningSandbox
  try {
    detach = await attachProxy(supervisor, mine, held.namespace.sockets, { names, journal })
    sandbox = await held.adopt()
  } catch (error) {
    log('warn', `${id} of an earlier worker is not adopted: ${error instanceof Error ? error.message : error}`)
    await detach?.()
    await end(false)
    journal.end(ended(record, null))
    return null
  }
  log('info', `${id} of an earlier worker is adopted: ${agent}`)
  const run = startedRun({ sandbox, record, journal, detach, end, gateway, log })
  return { ...run, startedAt: Date.parse(record.startedAt) }
}
