/** What processes cost, read from /proc (proc(5)): CPU time of every thread, resident memory. */
import { readdirSync, readFileSync } from 'node:fs'

/** `proc`: the /proc that counts as the pids do; `root`: they and all below them, but what runs in a sandbox. */
export type Processes = { readonly proc: string; readonly roots: readonly number[] }

/** Nanoseconds on a processor (schedstat(5)'s first field), by thread. */
export type CpuReading = ReadonlyMap<string, bigint>

export function readCpu({ proc, roots }: Processes): CpuReading {
  const reading = new Map<string, bigint>()
  for (const pid of below(proc, roots)) {
    for (const thread of list(`${proc}/${pid}/task`)) {
      const text = read(`${proc}/${pid}/task/${thread}/schedstat`)
      if (text !== '') reading.set(`${pid}/${thread}`, BigInt(text.split(' ')[0] ?? 0))
    }
  }
  return reading
}

/** Seconds between two readings, of threads that live at the end: none that do the work end in between. */
export function cpuSecondsBetween(before: CpuReading, after: CpuReading): number {
  let nanoseconds = 0n
  for (const [thread, now] of after) nanoseconds += now - (before.get(thread) ?? 0n)
  return Number(nanoseconds) / 1e9
}

export function residentBytes({ proc, roots }: Processes): number {
  let kilobytes = 0
  for (const pid of below(proc, roots)) {
    kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(read(`${proc}/${pid}/status`))?.[1] ?? 0)
  }
  return kilobytes * 1024
}

function below(proc: string, roots: readonly number[]): readonly number[] {
  const children = new Map<number, number[]>()
  for (const entry of list(proc)) {
    const pid = Number(entry)
    const stat = Number.isInteger(pid) ? read(`${proc}/${pid}/stat`) : ''
    if (stat === '') continue
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const found: number[] = []
  for (const queue = [...roots]; queue.length > 0; ) {
    const pid = queue.pop() ?? 0
    if (/\/clrk-/.test(read(`${proc}/${pid}/cgroup`))) continue // a sandbox: the load itself
    found.push(pid)
    queue.push(...(children.get(pid) ?? []))
  }
  return found
}

/** Empty where it has ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
