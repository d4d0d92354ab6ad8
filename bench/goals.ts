/** What clrk wants to reach, and whether it does. */
import type { ContenderName } from './contender.ts'
import { median, type Rounds, ratioOf } from './results.ts'

export type Verdict = {
  readonly goal: string
  readonly wanted: string
  /** Null: what it needs was not measured. */
  readonly value: number | null
  readonly met: boolean | null
}

type Goal = {
  readonly goal: string
  readonly at: 'most' | 'least'
  readonly limit: number
  /** Where we are going. */
  readonly beyond?: number
  readonly value: (rounds: Rounds) => number | null
}

const to = (metric: string, other: ContenderName) => (rounds: Rounds) => ratioOf(rounds, metric, 'clrk', other)
const from = (metric: string, other: ContenderName) => (rounds: Rounds) => ratioOf(rounds, metric, other, 'clrk')
const own = (metric: string) => (rounds: Rounds) => {
  const values = (rounds.get('clrk') ?? []).map(all => all[metric]).filter(value => value !== undefined)
  return values.length === 0 ? null : median(values)
}

const CPU_H1 = 'cpu_seconds_per_1000_requests_h1_c16'
const GOALS: readonly Goal[] = [
  { goal: 'CPU a request at c=16, × nginx', at: 'most', limit: 1.5, beyond: 1.25, value: to(CPU_H1, 'nginx') },
  { goal: '… mitmproxy × clrk', at: 'least', limit: 30, beyond: 38, value: from(CPU_H1, 'mitmproxy') },
  { goal: '… squid × clrk', at: 'least', limit: 1.9, beyond: 2.3, value: from(CPU_H1, 'squid') },
  { goal: 'added p50 over a splice, µs', at: 'most', limit: 10, beyond: 5, value: own('added_latency_p50_us_c1') },
  { goal: 'p99 at c=1, × nginx', at: 'most', limit: 1.5, beyond: 1.2, value: to('latency_p99_us_c1', 'nginx') },
  {
    goal: 'CPU a connection, cached leaf, × nginx',
    at: 'most',
    limit: 1.5,
    beyond: 1.3,
    value: to('cpu_seconds_per_1000_connections_cached_name', 'nginx'),
  },
  {
    goal: 'CPU a connection, minted leaf, × HAProxy minting',
    at: 'most',
    limit: 1.2,
    beyond: 1.05,
    value: to('cpu_seconds_per_1000_connections_fresh_name', 'haproxy'),
  },
  {
    goal: 'download of 100 MB, × nginx',
    at: 'least',
    limit: 0.8,
    beyond: 0.95,
    value: to('download_mb_per_second', 'nginx'),
  },
  {
    goal: 'upload of 100 MB, × nginx',
    at: 'least',
    limit: 0.8,
    beyond: 0.95,
    value: to('upload_mb_per_second', 'nginx'),
  },
  { goal: 'SSE delay p50, × nginx', at: 'most', limit: 1.05, value: to('sse_delay_p50_us', 'nginx') },
  { goal: 'SSE events joined', at: 'most', limit: 0, value: own('sse_joined_events') },
  { goal: 'one shard idle, MB', at: 'most', limit: 75, value: own('resident_mb_idle') },
  { goal: '… each idle connection, kB', at: 'most', limit: 62, value: own('resident_kb_per_idle_connection') },
  { goal: '… each further sandbox, kB', at: 'most', limit: 100, value: own('resident_kb_per_further_sandbox') },
  {
    goal: 'CPU a request in HTTP/2 (4 × 16), × nginx',
    at: 'most',
    limit: 1.8,
    beyond: 1.4,
    value: to('cpu_seconds_per_1000_requests_h2_c64', 'nginx'),
  },
]

export function verdicts(rounds: Rounds): readonly Verdict[] {
  return GOALS.map(({ goal, at, limit, beyond, value }) => {
    const measured = value(rounds)
    const sign = at === 'most' ? '≤' : '≥'
    return {
      goal,
      wanted: `${sign} ${limit}${beyond === undefined ? '' : ` (${sign} ${beyond})`}`,
      value: measured,
      met: measured === null ? null : at === 'most' ? measured <= limit : measured >= limit,
    }
  })
}
