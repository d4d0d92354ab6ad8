/** What is measured, in groups: one load of a group yields several metrics. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender } from './contender.ts'
import { type Load, type Measured, measure } from './measure.ts'
import { ADDRESSES, NAMES } from './names.ts'
import { residentBytes } from './processes.ts'
import { PROCESSORS, type Rig } from './rig.ts'
import { READY, type Shell } from './shell.ts'
import { TOOLS } from './tools.ts'

export type Values = Readonly<Record<string, number>>

export type Setting = {
  readonly rig: Rig
  /** How long one load lasts, where it is not a count. */
  readonly seconds: number
}

export type Group = {
  /** Measured once, on processes that have done nothing yet. */
  readonly first?: true
  readonly appliesTo: (contender: Contender) => boolean
  readonly run: (setting: Setting, contender: Contender) => Promise<Values>
}

export const GROUP_NAMES = [
  ...(['memory', 'sandboxes', 'h1_c1', 'h1_c16', 'h1_c64', 'h2_c1', 'h2_c16', 'h2_c64'] as const),
  ...(['cached_name', 'fresh_name', 'download', 'upload', 'events'] as const),
] as const
export type GroupName = (typeof GROUP_NAMES)[number]

/** Memory needs untouched processes, and further sandboxes time. */
export const QUICK: readonly GroupName[] = [
  'h1_c1',
  'h1_c16',
  'h2_c64',
  'cached_name',
  'fresh_name',
  'download',
  'upload',
  'events',
]

const everybody = () => true
const http2 = (contender: Contender) => contender.http2
const terminating = ({ name }: Contender) => name !== 'direct' && name !== 'splice'
const hasProcesses = ({ processes }: Contender) => processes !== null

export const GROUPS: Readonly<Record<GroupName, Group>> = {
  memory: { first: true, appliesTo: hasProcesses, run: memory },
  sandboxes: { first: true, appliesTo: ({ name }) => name === 'clrk', run: furtherSandboxes },
  h1_c1: { appliesTo: everybody, run: (setting, contender) => requests(setting, contender, 1) },
  h1_c16: { appliesTo: everybody, run: (setting, contender) => requests(setting, contender, 16) },
  h1_c64: { appliesTo: everybody, run: (setting, contender) => requests(setting, contender, 64) },
  h2_c1: { appliesTo: http2, run: (setting, contender) => requestsHttp2(setting, contender, 1, 1) },
  h2_c16: { appliesTo: http2, run: (setting, contender) => requestsHttp2(setting, contender, 1, 16) },
  h2_c64: { appliesTo: http2, run: (setting, contender) => requestsHttp2(setting, contender, 4, 16) },
  cached_name: { appliesTo: everybody, run: cachedName },
  fresh_name: { appliesTo: terminating, run: freshName },
  download: { appliesTo: everybody, run: (setting, contender) => bulk(setting, contender, 'download') },
  upload: { appliesTo: everybody, run: (setting, contender) => bulk(setting, contender, 'upload') },
  events: { appliesTo: everybody, run: events },
}

async function requests(setting: Setting, contender: Contender, connections: number): Promise<Values> {
  const { load, cpuSeconds } = await run(setting, contender, 'requests', `-c ${connections} -t ${setting.seconds}`)
  const kind = `h1_c${connections}`
  return {
    [`requests_per_second_${kind}`]: load.measured / load.seconds,
    ...perThousand(contender, `requests_${kind}`, cpuSeconds, load.measured),
    ...(connections === 1 ? { latency_p50_us_c1: load.p50, latency_p99_us_c1: load.p99 } : {}),
  }
}

/** How fast each contender was the last time: h2load is given a count, so that no request is left under way. */
const http2Rates = new Map<string, number>()

async function requestsHttp2(
  { rig, seconds }: Setting,
  contender: Contender,
  connections: number,
  streams: number,
): Promise<Values> {
  const kind = `h2_c${connections * streams}`
  const key = `${contender.name} ${kind}`
  const attempt = async (count: number): Promise<Measured> => {
    const headers = [`authorization: ${contender.authorization}`, 'content-type: application/json']
    const argv = `-t1 -c${connections} -m${streams} -n${count} --npn-list=h2 ${headers.map(field => `-H '${field}'`).join(' ')}`
    const load = `taskset -c ${PROCESSORS.load} ${TOOLS.h2load} ${argv} https://${NAMES.api}/json`
    contender.lead()
    const command = `echo '${READY}'; read -r go; ${load}`
    return measure(rig, contender, command, { shell: contender.shell, parse: output => readH2load(output, count) })
  }
  const rate = http2Rates.get(key) ?? rateOf(await attempt(64 * connections))
  const measured = await attempt(Math.max(connections * streams, Math.round(rate * seconds)))
  http2Rates.set(key, rateOf(measured))
  const { load, cpuSeconds } = measured
  return {
    [`requests_per_second_${kind}`]: load.measured / load.seconds,
    ...perThousand(contender, `requests_${kind}`, cpuSeconds, load.measured),
  }
}

function rateOf({ load }: Measured): number {
  return load.measured / load.seconds
}

/** A request counts where it was answered with a 2xx over HTTP/2. */
function readH2load(output: string, count: number): Load {
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0)
  const good = /Application protocol: h2$/m.test(output) ? number(/status codes: (\d+) 2xx/) : 0
  const [, amount = '0', unit = 's'] = /finished in ([\d.]+)(us|ms|s)/.exec(output) ?? []
  const seconds = Number(amount) * (unit === 's' ? 1 : unit === 'ms' ? 1e-3 : 1e-6)
  return { requests: count, measured: good, errors: count - good, seconds, p50: 0, p99: 0, bytes: 0, joined: 0 }
}

async function cachedName(setting: Setting, contender: Contender): Promise<Values> {
  const { load, cpuSeconds } = await run(setting, contender, 'connect', `-c 8 -t ${setting.seconds}`)
  return {
    new_connections_per_second_cached_name: load.measured / load.seconds,
    ...perThousand(contender, 'connections_cached_name', cpuSeconds, load.measured),
  }
}

/** Below what one sandbox may have minted at once (LIMITS.leafBurst). */
const FRESH_NAMES = 240
let freshNames = 0

async function freshName(setting: Setting, contender: Contender): Promise<Values> {
  const shell = await contender.openFreshShell()
  try {
    freshNames += FRESH_NAMES
    const host = `-f -H h%d.${NAMES.freshSuffix} -a ${ADDRESSES.api} -i ${freshNames}`
    const { load, cpuSeconds } = await run(setting, contender, 'connect', `-c 8 -n ${FRESH_NAMES} ${host}`, { shell })
    return {
      new_connections_per_second_fresh_name: load.measured / load.seconds,
      ...perThousand(contender, 'connections_fresh_name', cpuSeconds, load.measured),
    }
  } finally {
    await shell.close()
  }
}

const BULK_BYTES = 100_000_000

async function bulk(setting: Setting, contender: Contender, way: 'download' | 'upload'): Promise<Values> {
  const { load, cpuSeconds } = await run(setting, contender, way, `-H ${NAMES.bulk} -b ${BULK_BYTES}`)
  return {
    [`${way}_mb_per_second`]: load.bytes / 1e6 / load.seconds,
    ...(contender.processes === null ? {} : { [`cpu_seconds_per_gb_${way}`]: cpuSeconds / (load.bytes / 1e9) }),
  }
}

async function events(setting: Setting, contender: Contender): Promise<Values> {
  const { load, cpuSeconds } = await run(setting, contender, 'events', `-H ${NAMES.bulk} -n 200 -u 5000`)
  return {
    sse_delay_p50_us: load.p50,
    sse_delay_p99_us: load.p99,
    sse_joined_events: load.joined,
    ...perThousand(contender, 'events', cpuSeconds, load.measured),
  }
}

const IDLE_CONNECTIONS = 1_000

async function memory(setting: Setting, contender: Contender): Promise<Values> {
  const idle = await residentWhenQuiet(contender)
  let open = idle
  const whileOpen = async () => {
    open = await residentWhenQuiet(contender)
  }
  await run(setting, contender, 'hold', `-n ${IDLE_CONNECTIONS} -t 2.5`, { whileOpen })
  return {
    resident_mb_idle: idle / 1e6,
    resident_kb_per_idle_connection: (open - idle) / 1e3 / IDLE_CONNECTIONS,
  }
}

/** A second after the last request: a garbage-collected contender has had the time to give back what that left. */
async function residentWhenQuiet({ resident }: Contender): Promise<number> {
  await sleep(1_000)
  return resident === null ? 0 : residentBytes(resident)
}

const SANDBOXES = 20

/** What the shard grows by, each sandbox having completed a request. */
async function furtherSandboxes(setting: Setting, contender: Contender): Promise<Values> {
  const open: Shell[] = []
  try {
    const before = await residentWhenQuiet(contender)
    for (let i = 0; i < SANDBOXES; i++) {
      const shell = await contender.openFreshShell()
      open.push(shell)
      await run(setting, contender, 'requests', '-c 1 -t 0', { shell })
    }
    return { resident_kb_per_further_sandbox: ((await residentWhenQuiet(contender)) - before) / 1e3 / SANDBOXES }
  } finally {
    await Promise.all(open.map(shell => shell.close()))
  }
}

type RunOptions = { readonly shell?: Shell; readonly whileOpen?: () => Promise<void> }

function run(
  { rig }: Setting,
  contender: Contender,
  mode: string,
  options: string,
  { shell = contender.shell, whileOpen }: RunOptions = {},
): Promise<Measured> {
  contender.lead()
  const host = options.includes('-H ') ? '' : `-H ${NAMES.api}`
  const program = `taskset -c ${PROCESSORS.load} ${rig.directory}/load/load`
  const command = `${program} ${mode} ${host} ${options} -k '${contender.authorization}'`
  return measure(rig, contender, command, { shell, ...(whileOpen === undefined ? {} : { whileOpen }) })
}

function perThousand({ processes }: Contender, what: string, cpuSeconds: number, count: number): Values {
  return processes === null ? {} : { [`cpu_seconds_per_1000_${what}`]: (cpuSeconds / count) * 1000 }
}
