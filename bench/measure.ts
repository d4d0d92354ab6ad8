/** One load through one contender: what it did, what it cost, and that everybody counted the same. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender } from './contender.ts'
import type { Counts } from './origins.ts'
import { cpuSecondsBetween, readCpu } from './processes.ts'
import type { Rig } from './rig.ts'
import { loadFailed, READY, type Shell } from './shell.ts'

/** What load.c prints at its end; `bytes`, `joined`: of the modes that have them. */
export type Load = {
  /** All that were sent, `measured` of them (or connections, or events) after the start of the measured part. */
  readonly requests: number
  readonly measured: number
  readonly errors: number
  readonly seconds: number
  /** Microseconds. */
  readonly p50: number
  readonly p99: number
  readonly bytes: number
  readonly joined: number
}

export type Measured = { readonly load: Load; readonly cpuSeconds: number }

export type Options = {
  readonly shell: Shell
  /** While the command is still there: right after it printed its result. */
  readonly whileOpen?: () => Promise<void>
  readonly parse?: (output: string) => Load
}

/** What the origins saw of each contender so far. */
const seen = new WeakMap<Contender, number>()
export const requestsSeen = (contender: Contender) => seen.get(contender) ?? 0

/** Rejects where anything failed, or where origins (and for clrk the telemetry receiver) counted something else. */
export async function measure(rig: Rig, contender: Contender, command: string, options: Options): Promise<Measured> {
  const { shell, whileOpen, parse = JSON.parse } = options
  const cpu = () => (contender.processes === null ? new Map<string, bigint>() : readCpu(contender.processes))
  const start = await rig.counts()
  let output = ''
  let before = cpu()
  await shell.run(command, async line => {
    if (line === READY) {
      before = cpu()
      return
    }
    output += `${line}\n`
    if (line.startsWith('{')) await whileOpen?.()
  })
  const load = parse(output) as Load
  const end = await settled(rig, contender, start, load.requests)
  const cpuSeconds = cpuSecondsBetween(before, cpu())
  check(contender, command, load, start, end)
  seen.set(contender, requestsSeen(contender) + load.requests)
  return { load, cpuSeconds }
}

/** Counts once nothing of the load is under way any more; telemetry comes up to a second later and belongs to the cost. */
async function settled(rig: Rig, contender: Contender, start: Counts, requests: number): Promise<Counts> {
  for (let waited = 0; ; waited += 20) {
    const now = await rig.counts()
    const complete = !contender.records || now.spans - start.spans >= requests
    if (complete || waited > TELEMETRY_MS) return now
    await sleep(20)
  }
}

function check({ name, records }: Contender, command: string, load: Load, start: Counts, end: Counts): void {
  const counted = {
    sent: load.requests,
    arrived: end.requests - start.requests,
    authorized: end.authorized - start.authorized,
    recorded: records ? end.spans - start.spans : load.requests,
  }
  const equal = Object.values(counted).every(count => count === load.requests)
  if (equal && load.errors === 0) return
  throw loadFailed(`bench: ${name}: ${load.errors} errors, ${JSON.stringify(counted)}: ${command}`)
}

const TELEMETRY_MS = 5_000
