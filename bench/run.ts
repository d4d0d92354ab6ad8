/**
 * The benchmark of the data path: `npm run bench -- [OPTIONS]`. All contenders in one run, metric by metric, in rounds
 * whose direction changes; docs/performance.md says how and why.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startClrk } from './clrk.ts'
import { CONTENDERS, type Contender, type ContenderName, NEEDS } from './contender.ts'
import { verdicts } from './goals.ts'
import { describeMachine, type MachineDescription } from './machine.ts'
import { requestsSeen } from './measure.ts'
import { GROUP_NAMES, GROUPS, type GroupName, QUICK, type Setting, type Values } from './metrics.ts'
import { startPeer } from './peers.ts'
import { openPlainShell } from './plain-shell.ts'
import { report } from './report.ts'
import { type Rounds, resultsOf, withAddedLatency } from './results.ts'
import { openRig } from './rig.ts'
import { isLoadFailed } from './shell.ts'
import { buildOwnTools, requireTools, TOOLS } from './tools.ts'

const HELP = `npm run bench -- [OPTIONS]

  --quick           direct, nginx, mitmproxy and clrk, the main metrics, 3 rounds: under two minutes
  --only A,B        of ${CONTENDERS.join(', ')}
  --metrics A,B     of ${GROUP_NAMES.join(', ')}
  --rounds N        default 5
  --seconds N       how long one load lasts; default 1.5
  --json FILE       writes {machine, contenders, results, goals}
`

type Plan = {
  readonly contenders: readonly ContenderName[]
  readonly groups: readonly GroupName[]
  readonly rounds: number
  readonly seconds: number
  readonly json: string | null
}

if (import.meta.main) {
  try {
    const plan = planOf(process.argv.slice(2))
    if (plan === null) process.stdout.write(HELP)
    else await bench(plan)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}

/** Null: only help is wanted. Throws one line about an argument that makes no sense. */
function planOf(args: readonly string[]): Plan | null {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { quick: flag, help: flag, only: text, metrics: text, rounds: text, seconds: text, json: text }
  const { values } = parseArgs({ args: [...args], options })
  if (values.help) return null
  const quick = values.quick === true
  return {
    contenders: chosen(
      '--only',
      values.only,
      CONTENDERS,
      quick ? ['direct', 'nginx', 'mitmproxy', 'clrk'] : CONTENDERS,
    ),
    groups: chosen('--metrics', values.metrics, GROUP_NAMES, quick ? QUICK : GROUP_NAMES),
    rounds: positive('--rounds', values.rounds, quick ? 3 : 5),
    seconds: positive('--seconds', values.seconds, quick ? 0.6 : 1.5),
    json: values.json ?? null,
  }
}

async function bench({ contenders: names, groups, rounds: count, seconds, json }: Plan): Promise<void> {
  const groupTools = groups.some(group => group.startsWith('h2_')) ? (['h2load'] as const) : []
  requireTools(['nginx', ...groupTools, ...names.flatMap(name => NEEDS[name])])
  if (process.getuid?.() !== 0) throw new Error('bench: it makes network namespaces: run it as root')
  const stopped = stopSignal()
  buildOwnTools()
  const machine = describeMachine()
  const rig = await openRig()
  try {
    mkdirSync(join(rig.directory, 'load'))
    copyFileSync(TOOLS.load, join(rig.directory, 'load/load'))
    const shell = await openPlainShell(rig)
    const contenders: Contender[] = []
    const work = async () => {
      for (const name of names) {
        contenders.push(
          name === 'clrk' ? await startClrk(rig, machine.commit ?? '') : await startPeer(rig, name, shell),
        )
      }
      const values = await measureAll({ rig, seconds }, contenders, groups, count)
      const versions = Object.fromEntries(contenders.map(contender => [contender.name, contender.version]))
      await closeAll(contenders)
      publish(machine, versions, values, json)
    }
    try {
      await Promise.race([work(), stopped])
    } finally {
      await closeAll(contenders).catch(() => {}) // after a failure, which is the one to tell
      await shell.close()
    }
  } finally {
    await rig.close()
  }
}

/** Rejects on Ctrl-C, so that everything is taken down. */
function stopSignal(): Promise<never> {
  const stop = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => reject(new Error(`bench: ${signal}`)))
  })
  stop.catch(() => {}) // where it comes before anybody waits for it
  return stop
}

/** Rejects where a contender's own counts of the whole run are not the origins'. */
async function closeAll(contenders: Contender[]): Promise<void> {
  for (const contender of contenders.splice(0)) await contender.close(requestsSeen(contender))
}

function publish(
  machine: MachineDescription,
  versions: Readonly<Record<string, string>>,
  rounds: Rounds,
  json: string | null,
): void {
  const goals = verdicts(rounds)
  if (json !== null) {
    const all = { machine, contenders: versions, results: resultsOf(rounds), goals }
    writeFileSync(json, `${JSON.stringify(all, null, 2)}\n`)
  }
  process.stdout.write(report(machine, versions, rounds, goals))
}

async function measureAll(
  setting: Setting,
  contenders: readonly Contender[],
  groups: readonly GroupName[],
  rounds: number,
): Promise<Rounds> {
  const values = new Map<ContenderName, Values[]>(contenders.map(({ name }) => [name, []]))
  const take = async (round: number, group: GroupName, list: readonly Contender[]) => {
    for (const contender of list.filter(GROUPS[group].appliesTo)) {
      const taken = await GROUPS[group].run(setting, contender).catch(error => {
        // Others have bad moments: a value is missing then. clrk has none.
        if (contender.name === 'clrk' || !isLoadFailed(error)) throw error
        progress(error.message)
        return {}
      })
      const all = values.get(contender.name) ?? []
      all[round] = { ...all[round], ...taken }
    }
  }
  const once = groups.filter(group => GROUPS[group].first)
  const repeated = groups.filter(group => !GROUPS[group].first)
  for (const group of once) await take(0, group, contenders)
  progress('warm-up')
  for (const contender of contenders) await warmUp(setting, contender)
  const javascript = contenders.filter(({ name }) => name === 'clrk')
  for (const group of repeated) await take(rounds, group, javascript) // thrown away in the next line
  for (const all of values.values()) all.length = Math.min(all.length, rounds)
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    for (const group of repeated) await take(round, group, round % 2 === 0 ? contenders : contenders.toReversed())
  }
  return withAddedLatency(new Map([...values].map(([name, all]) => [name, [...all].map(entry => entry ?? {})])))
}

/** V8 needs some 50,000 requests until its code is what it stays, and a round of everything; the others need little. */
function warmUp({ rig }: Setting, contender: Contender): Promise<Values> {
  return GROUPS.h1_c16.run({ rig, seconds: contender.name === 'clrk' ? 10 : 1 }, contender)
}

function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`)
}

function chosen<T extends string>(option: string, given: string | undefined, known: readonly T[], usual: readonly T[]) {
  if (given === undefined) return usual
  const names = given.split(',')
  const unknown = names.find(name => !known.some(other => other === name))
  if (unknown !== undefined) throw new Error(`bench: ${option} ${unknown}: it is one of ${known.join(', ')}`)
  return known.filter(name => names.includes(name))
}

function positive(option: string, given: string | undefined, usual: number): number {
  const value = given === undefined ? usual : Number(given)
  if (!(value > 0)) throw new Error(`bench: ${option} ${given}: write a number above 0`)
  return value
}
