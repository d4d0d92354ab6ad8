/**
 * A seccomp profile as container engines take it (moby's profiles/seccomp, OCI runtime-spec config-linux.md). Pure.
 *
 * Engines hand it to libseccomp, which allows a call on conditions but cannot refuse one on conditions that another
 * rule allows. So each guard is turned round: the rules say when the call *is* allowed. All questions are MASKED_EQ
 * ones: they look at no bits but those of the mask, so high bits of an argument change nothing.
 */
import type { ArgumentTest, Guard, SeccompProfile } from '../kernel/seccomp.ts'

export type SeccompJson = {
  readonly defaultAction: 'SCMP_ACT_ERRNO'
  readonly architectures: readonly string[]
  readonly syscalls: readonly SeccompRule[]
}

type Condition = {
  readonly index: number
  readonly value: number
  readonly valueTwo: number
  readonly op: 'SCMP_CMP_MASKED_EQ'
}

type SeccompRule = {
  readonly names: readonly string[]
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'
  readonly errnoRet?: number
  readonly args?: readonly Condition[]
}

/**
 * `architecture`: as `process.arch` has it. Only that one is named: calls by any other ABI end the process.
 * Numbers above the largest that is named are ENOSYS by runc's own doing (libcontainer/seccomp/patchbpf).
 */
export function seccompJson(profile: SeccompProfile, architecture: 'x64' | 'arm64'): SeccompJson {
  const guarded = new Set(profile.guards.flatMap(guard => guard.calls))
  return {
    defaultAction: 'SCMP_ACT_ERRNO', // EPERM
    architectures: [ARCHITECTURES[architecture]],
    syscalls: [
      { names: profile.allow.filter(name => !guarded.has(name)), action: 'SCMP_ACT_ALLOW' },
      ...profile.guards.flatMap(guardRules),
      { names: profile.absent, action: 'SCMP_ACT_ERRNO', errnoRet: ERRNO.ENOSYS },
    ],
  }
}

/** Allowed where any one test does not hold; where the refusal is not the default one, that has rules of its own. */
function guardRules({ calls, refuse, errno }: Guard): readonly SeccompRule[] {
  const allowed = refuse.flatMap(test =>
    failing(test).map(condition => ({ names: calls, action: 'SCMP_ACT_ALLOW' as const, args: [condition] })),
  )
  if (errno === 'EPERM') return allowed
  const [test, ...others] = refuse
  if (test === undefined || others.length > 0 || !('noneOf' in test)) {
    throw new Error(`seccomp: ${errno} needs one test that names what is allowed`)
  }
  const refused = outside(test.noneOf).map(cube => ({
    ...{ names: calls, action: 'SCMP_ACT_ERRNO' as const, errnoRet: ERRNO[errno] },
    args: [condition(test, cube)],
  }))
  return [...allowed, ...refused]
}

/** Conditions of which one holds exactly where the test does not. */
function failing(test: ArgumentTest): readonly Condition[] {
  if ('anyBit' in test) return [condition(test, { mask: test.anyBit, bits: 0 })]
  if ('noneOf' in test) return test.noneOf.map(value => condition(test, { mask: ALL_BITS, bits: value }))
  return outside(test.oneOf).map(cube => condition(test, cube))
}

/** The 32-bit words that have `bits` where `mask` is set. */
type Cube = { readonly mask: number; readonly bits: number }

/**
 * All words but `values`, as cubes that do not overlap: at each bit, from the highest, where only one half of what is
 * left holds a value, the other half is one cube.
 */
function outside(values: readonly number[], bit = 31): readonly Cube[] {
  if (bit < 0) return []
  const mask = (ALL_BITS << bit) >>> 0
  return [0, 1].flatMap(half => {
    const inHalf = values.filter(value => ((value >>> bit) & 1) === half)
    if (inHalf.length > 0) return outside(inHalf, bit - 1)
    const above = (values[0] ?? 0) & (mask << 1) // alike in all that are left
    return [{ mask, bits: (above | (half << bit)) >>> 0 }]
  })
}

function condition({ argument }: ArgumentTest, { mask, bits }: Cube): Condition {
  return { index: argument, value: mask, valueTwo: bits, op: 'SCMP_CMP_MASKED_EQ' }
}

const ALL_BITS = 0xffffffff
const ARCHITECTURES = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' } as const
/** The same numbers on both architectures (asm-generic/errno.h), written out because this is pure. */
const ERRNO = { EPERM: 1, ENOSYS: 38, EAFNOSUPPORT: 97 } as const
