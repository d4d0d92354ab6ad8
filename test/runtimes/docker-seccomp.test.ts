/** The JSON profile decides as the profile says, for arguments that libseccomp's 64-bit comparisons would get wrong too. */
import assert from 'node:assert/strict'
import { constants } from 'node:os'
import test from 'node:test'
import type { ArgumentTest } from '../../src/kernel/seccomp.ts'
import { SECCOMP_PROFILE } from '../../src/runtimes/seccomp.ts'
import { seccompJson } from '../../src/runtimes/seccomp-json.ts'

const { defaultAction, architectures, syscalls } = seccompJson(SECCOMP_PROFILE, 'x64')

test('every guarded call is decided as its guard says', () => {
  for (const { calls, refuse, errno } of SECCOMP_PROFILE.guards) {
    for (const call of calls) {
      for (const values of combinations(refuse)) {
        const args = Array.from({ length: 6 }, (_, index) => BigInt(values.get(index) ?? 0) | (1n << 32n))
        const isRefused = refuse.every(it => holds(it, values.get(it.argument) ?? 0))
        assert.equal(decide(call, args), isRefused ? constants.errno[errno] : 'allow', `${call} ${args}`)
      }
    }
  }
})

test('other calls are allowed, absent or refused as the profile says, and only the native ABI is known', () => {
  const guarded = SECCOMP_PROFILE.guards.flatMap(({ calls }) => calls)
  for (const call of SECCOMP_PROFILE.allow) if (!guarded.includes(call)) assert.equal(decide(call, []), 'allow')
  for (const call of SECCOMP_PROFILE.absent) assert.equal(decide(call, []), constants.errno.ENOSYS)
  for (const call of ['io_uring_setup', 'keyctl', 'mount', 'bpf']) assert.equal(decide(call, []), constants.errno.EPERM)
  assert.equal(defaultAction, 'SCMP_ACT_ERRNO')
  assert.deepEqual(architectures, ['SCMP_ARCH_X86_64'])
})

/** As the kernel would: all rules that hold must agree, and none is the default. */
function decide(call: string, args: readonly bigint[]): 'allow' | number {
  const matching = syscalls.filter(
    ({ names, args: conditions = [] }) =>
      names.includes(call) &&
      conditions.every(
        ({ index, value, valueTwo, op }) =>
          op === 'SCMP_CMP_MASKED_EQ' && ((args[index] ?? 0n) & BigInt(value)) === BigInt(valueTwo),
      ),
  )
  const answers = new Set(
    matching.map(({ action, errnoRet }) => (action === 'SCMP_ACT_ALLOW' ? 'allow' : (errnoRet ?? 0))),
  )
  assert.ok(answers.size <= 1, `${call} ${args}: rules that contradict each other`)
  const [answer = constants.errno.EPERM] = answers
  return answer
}

function holds(it: ArgumentTest, value: number): boolean {
  if ('anyBit' in it) return (value & it.anyBit) !== 0
  return 'oneOf' in it ? it.oneOf.includes(value) : !it.noneOf.includes(value)
}

/** Words near those that matter, for each argument that is asked about: at most two. */
function combinations(refuse: readonly ArgumentTest[]): readonly Map<number, number>[] {
  const [first, second] = refuse.map(it => ({ argument: it.argument, words: words(it) }))
  if (first === undefined) return []
  return first.words.flatMap(a =>
    (second?.words ?? [0]).map(b => new Map([[first.argument, a], ...(second ? [[second.argument, b] as const] : [])])),
  )
}

function words(it: ArgumentTest): readonly number[] {
  const known = 'anyBit' in it ? [it.anyBit] : 'oneOf' in it ? it.oneOf : it.noneOf
  const near = known.flatMap(word => [word, ...Array.from({ length: 32 }, (_, bit) => (word ^ (1 << bit)) >>> 0)])
  return [...new Set([0, 0xffffffff, ...near])]
}
