/** From values to results: medians over rounds, ratios of pairs, and what follows from two contenders together. */
import type { ContenderName } from './contender.ts'
import type { Values } from './metrics.ts'

export type Result = {
  readonly metric: string
  readonly contender: ContenderName
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  /** How many it is the median of. */
  readonly rounds: number
}

/** By contender: one entry a round, in which a metric may be missing. */
export type Rounds = ReadonlyMap<ContenderName, readonly Values[]>

/** The end of a metric's name, or what it contains, tells its unit. */
const UNITS: readonly (readonly [RegExp, string])[] = [
  [/^cpu_seconds_per_/, 's'],
  [/^requests_per_second_/, '1/s'],
  [/^new_connections_per_second_/, '1/s'],
  [/_us(_c1)?$/, 'µs'],
  [/_mb_per_second$/, 'MB/s'],
  [/^resident_mb_/, 'MB'],
  [/^resident_kb_/, 'kB'],
  [/_events$/, 'count'],
]

export function unitOf(metric: string): string {
  const unit = UNITS.find(([pattern]) => pattern.test(metric))?.[1]
  if (unit === undefined) throw new Error(`bench: ${metric} does not say its unit`)
  return unit
}

export function resultsOf(rounds: Rounds): readonly Result[] {
  return [...rounds].flatMap(([contender, all]) =>
    metricsOf(all).map(metric => {
      const values = valuesOf(all, metric)
      const [min, max] = [Math.min(...values), Math.max(...values)]
      return { metric, contender, unit: unitOf(metric), median: median(values), min, max, rounds: values.length }
    }),
  )
}

/** The median of the ratios within each round: what disturbed a whole round disturbs it less. Null without a pair. */
export function ratioOf(rounds: Rounds, metric: string, of: ContenderName, to: ContenderName): number | null {
  const others = rounds.get(to) ?? []
  const ratios = (rounds.get(of) ?? []).flatMap((values, round) => {
    const [value, other] = [values[metric], others[round]?.[metric]]
    return value === undefined || other === undefined ? [] : [value / other]
  })
  return ratios.length === 0 ? null : median(ratios)
}

/** Adds the latency over that of the plain splice in the same round. */
export function withAddedLatency(rounds: Rounds): Rounds {
  const splice = rounds.get('splice') ?? []
  const added = (values: Values, round: number): Values => {
    const base = splice[round]
    const over = (which: 'p50' | 'p99'): Values => {
      const [value, least] = [values[`latency_${which}_us_c1`], base?.[`latency_${which}_us_c1`]]
      return value === undefined || least === undefined ? {} : { [`added_latency_${which}_us_c1`]: value - least }
    }
    return { ...over('p50'), ...over('p99'), ...values }
  }
  return new Map([...rounds].map(([name, all]) => [name, name === 'direct' ? all : all.map(added)]))
}

export function metricsOf(all: readonly Values[]): readonly string[] {
  return [...new Set(all.flatMap(values => Object.keys(values)))]
}

function valuesOf(all: readonly Values[], metric: string): readonly number[] {
  return all.map(values => values[metric]).filter(value => value !== undefined)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2
}
