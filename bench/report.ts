/** The tables, as Markdown: for a terminal and for docs/performance.md alike. */
import type { ContenderName } from './contender.ts'
import type { Verdict } from './goals.ts'
import type { MachineDescription } from './machine.ts'
import { metricsOf, type Result, type Rounds, ratioOf, resultsOf } from './results.ts'

const BASES = ['nginx', 'mitmproxy', 'squid'] as const satisfies readonly ContenderName[]

export function report(
  machine: MachineDescription,
  versions: Readonly<Record<string, string>>,
  rounds: Rounds,
  goals: readonly Verdict[],
): string {
  const names = [...rounds.keys()]
  const title = `${machine.date} · ${machine.processor}, ${machine.processors} processors · Linux ${machine.kernel}`
  const contenders = names.map(name => (versions[name] ? `${name} ${versions[name]}` : name)).join(', ')
  return `${title} · load average ${machine.loadAverage.join(' ')} at the start\n${contenders}\n\n${metrics(rounds)}\n${goalTable(goals)}`
}

/** A row for each contender: median (least–greatest), and its ratio to the others. */
function metrics(rounds: Rounds): string {
  const results = resultsOf(rounds)
  const bases = BASES.filter(base => rounds.has(base))
  const fullestFirst = [...rounds.values()].map(metricsOf).toSorted((a, b) => b.length - a.length)
  const all = [...new Set(fullestFirst.flat())]
  const head = ['metric', 'contender', 'median', 'least – greatest', ...bases.map(base => `× ${base}`)]
  const rows = all.flatMap(metric =>
    results
      .filter(result => result.metric === metric)
      .map((result, at) => [
        at === 0 ? `${metric} (${result.unit})` : '',
        result.contender,
        number(result.median),
        span(result),
        ...bases.map(base => ratio(ratioOf(rounds, metric, result.contender, base))),
      ]),
  )
  return table(head, rows)
}

function goalTable(goals: readonly Verdict[]): string {
  const rows = goals.map(({ goal, wanted, value, met }) => [
    goal,
    wanted,
    value === null ? 'not measured' : number(value),
    met === null ? '' : met ? 'met' : 'NOT met',
  ])
  return table(['goal (clrk)', 'wanted (beyond)', 'measured', ''], rows)
}

function span({ min, max, rounds }: Result): string {
  return rounds === 1 ? '' : `${number(min)} – ${number(max)}`
}

function ratio(value: number | null): string {
  return value === null || !Number.isFinite(value) ? '' : value.toFixed(2)
}

function number(value: number): string {
  if (Number.isInteger(value)) return String(value)
  if (Math.abs(value) >= 1_000) return String(Math.round(value))
  return value.toPrecision(3)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map(row => row[at]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |\n`
  return line(head) + line(widths.map(width => '-'.repeat(width))) + rows.map(line).join('')
}
