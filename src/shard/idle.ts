/**
 * A shard that has worked and is quiet now gives back what the work left: V8 would keep the garbage until it needs room,
 * and malloc what was freed. A third of what an idle connection or a further sandbox seems to cost is that.
 */
import { trimHeap } from '../kernel/syscalls.ts'

const TICK_MS = 200
/** Less of the processor than this between two ticks is quiet: a request is 0.1 ms. */
const QUIET_CPU_MS = 2
const QUIET_TICKS = 2
/** A collection takes some 20 ms: it comes at most once for so much work. */
const WORK_CPU_MS = 100

/** Watches this process until it ends. Does nothing where Node runs without --expose-gc. */
export function collectWhenIdle(): void {
  let collectedAt = 0
  let previous = cpuMs()
  let quiet = 0
  setInterval(() => {
    const now = cpuMs()
    quiet = now - previous < QUIET_CPU_MS ? quiet + 1 : 0
    previous = now
    if (quiet < QUIET_TICKS || now - collectedAt < WORK_CPU_MS) return
    // The last resort gives V8's own reserve of pages back as well, and compiled code: only what the start has left.
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: collectedAt === 0 ? 'last-resort' : 'regular' })
    trimHeap()
    previous = collectedAt = cpuMs()
  }, TICK_MS).unref()
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
