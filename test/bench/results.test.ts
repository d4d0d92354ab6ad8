import assert from 'node:assert/strict'
import test from 'node:test'
import { verdicts } from '../../bench/goals.ts'
import { type Rounds, ratioOf, resultsOf, unitOf, withAddedLatency } from '../../bench/results.ts'

const CPU = 'cpu_seconds_per_1000_requests_h1_c16'

test('a ratio is the median of the pairs within a round', () => {
  const rounds: Rounds = new Map([
    ['nginx', [{ [CPU]: 1 }, { [CPU]: 10 }, { [CPU]: 2 }, {}]],
    ['clrk', [{ [CPU]: 2 }, { [CPU]: 15 }, { [CPU]: 8 }, { [CPU]: 1_000 }]],
  ])
  assert.equal(ratioOf(rounds, CPU, 'clrk', 'nginx'), 2)
  assert.equal(ratioOf(rounds, CPU, 'clrk', 'squid'), null)
})

test('a result is the median of the rounds that have it', () => {
  const rounds: Rounds = new Map([['clrk', [{ [CPU]: 4 }, {}, { [CPU]: 1 }, { [CPU]: 2 }, { [CPU]: 3 }]]])
  const result = { metric: CPU, contender: 'clrk', unit: 's', median: 2.5, min: 1, max: 4, rounds: 4 }
  assert.deepEqual(resultsOf(rounds), [result])
})

test('added latency is over the splice of the same round', () => {
  const latency = (p50: number) => ({ latency_p50_us_c1: p50, latency_p99_us_c1: 2 * p50 })
  const rounds = withAddedLatency(
    new Map([
      ['splice', [latency(100), latency(200)]],
      ['clrk', [latency(105), latency(220)]],
    ]),
  )
  const added = rounds.get('clrk')?.map(values => [values.added_latency_p50_us_c1, values.added_latency_p99_us_c1])
  assert.deepEqual(added, [
    [5, 10],
    [20, 40],
  ])
})

test('a goal is met at its limit, not met past it, and unknown without its metric', () => {
  const goal = (cpu: number | null) => {
    const rounds: Rounds = new Map([
      ['nginx', [{ [CPU]: 1 }]],
      ['clrk', [cpu === null ? {} : { [CPU]: cpu }]],
    ])
    const [first] = verdicts(rounds)
    return first?.met
  }
  assert.deepEqual([goal(1.5), goal(1.51), goal(null)], [true, false, null])
})

test('a metric whose name says no unit is refused', () => {
  assert.equal(unitOf('sse_delay_p50_us'), 'µs')
  assert.throws(() => unitOf('speed'), /^Error: bench: speed does not say its unit$/)
})
