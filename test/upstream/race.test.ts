/** Addresses are attempted as RFC 8305 §5 says; whatever does not win is ended. */
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { clrkError } from '../../src/errors.ts'
import { LIMITS } from '../../src/limits.ts'
import { race } from '../../src/upstream/race.ts'
import { inTurns } from '../../src/upstream/resolve.ts'
import { ip } from '../policy/fixtures.ts'

/** Attempts on a, b, c that the test ends by hand, and a clock that it moves. */
function start(t: TestContext, outer: AbortSignal | null = null) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const attempts: (PromiseWithResolvers<Socket> & { address: string; signal: AbortSignal | null })[] = []
  const won = race(['a', 'b', 'c'], { until: Number.POSITIVE_INFINITY, signal: outer }, (address, { signal }) => {
    const attempt = { address, signal, ...Promise.withResolvers<Socket>() }
    attempts.push(attempt)
    return attempt.promise
  })
  won.catch(() => {})
  return { won, attempts, begun: () => attempts.map(({ address }) => address).join('') }
}

test('a silent address costs 250 ms, and what comes after the first is destroyed', async t => {
  const { won, attempts, begun } = start(t)
  assert.equal(begun(), 'a')
  t.mock.timers.tick(LIMITS.upstreamAttemptMs - 1)
  assert.equal(begun(), 'a')
  t.mock.timers.tick(1)
  assert.equal(begun(), 'ab')
  const [late, first] = [new Socket(), new Socket()]
  attempts[1]?.resolve(first)
  assert.equal(await won, first)
  assert.equal(attempts[0]?.signal?.aborted, true)
  attempts[0]?.resolve(late)
  await turn()
  assert.equal(late.destroyed, true)
  assert.equal(first.destroyed, false)
  t.mock.timers.tick(10_000)
  assert.equal(begun(), 'ab') // no attempt after the race
})

test('a failure begins the next at once; when all have failed, the last says why', async t => {
  const { won, attempts, begun } = start(t)
  attempts[0]?.reject(new Error('refused a'))
  await turn()
  assert.equal(begun(), 'ab')
  t.mock.timers.tick(LIMITS.upstreamAttemptMs)
  assert.equal(begun(), 'abc')
  attempts[2]?.reject(new Error('refused c'))
  await turn()
  attempts[1]?.reject(new Error('refused b'))
  await assert.rejects(won, /refused b/)
})

test('what is about more than one address ends the race', async t => {
  const { won, attempts, begun } = start(t)
  attempts[0]?.reject(clrkError('CLRK_INTERNAL', { reason: 'all the same' }))
  await assert.rejects(won, /all the same/)
  t.mock.timers.tick(10_000)
  assert.equal(begun(), 'a')
})

test('a race within a lost race attempts nothing more', async t => {
  const outer = new AbortController()
  const { won, attempts, begun } = start(t, outer.signal)
  outer.abort()
  assert.equal(attempts[0]?.signal?.aborted, true)
  attempts[0]?.reject(new Error('another was faster'))
  await assert.rejects(won, /faster/)
  assert.equal(begun(), 'a')
})

for (const [family, expected] of [
  ['V4Preferred', '1.1.1.1 2600::1 1.1.1.2 2600::2 1.1.1.3'],
  ['Auto', '2600::1 1.1.1.1 2600::2 1.1.1.2 1.1.1.3'],
  ['All', '2600::1 1.1.1.1 2600::2 1.1.1.2 1.1.1.3'],
  ['V4Only', '1.1.1.1 1.1.1.2 1.1.1.3'],
  ['V6Only', '2600::1 2600::2'],
] as const) {
  test(`${family}: families take turns`, () => {
    const answers = ['2600::1', '2600::2', '1.1.1.1', '1.1.1.2', '1.1.1.3'].map(ip)
    assert.equal(inTurns(answers, family).join(' '), expected)
  })
}

test('where the resolver names IPv4 first, Auto begins with it', () => {
  assert.deepEqual(inTurns(['1.1.1.1', '2600::1'].map(ip), 'Auto'), ['1.1.1.1', '2600::1'])
})
