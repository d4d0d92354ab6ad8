/** Who a sandbox is for the kernel: a uid range and the user namespace that maps it. One is kept ready (4 ms saved). */
import { closeSync } from 'node:fs'
import { takeUidRange } from './uid-range.ts'
import { createUserNamespace } from './user-namespace.ts'

export type Identity = {
  /** Host uid and gid of the agent. */
  readonly base: number
  /** Descriptor of the user namespace: its 0 to 65,535 are `base` and what follows. */
  readonly userns: number
  readonly release: () => void
}

export type Identities = {
  /** Rejects with CLRK_SANDBOX_FAILED. */
  readonly take: () => Promise<Identity>
  /** Makes the next one, when there is time for it. */
  readonly refill: () => void
}

export function createIdentities(unshare: string): Identities {
  let spare: Promise<Identity> | null = null
  return {
    take: async () => {
      const taken = spare
      spare = null
      return (await taken?.catch(() => null)) ?? create(unshare)
    },
    refill: () => {
      spare ??= create(unshare)
      spare.catch(() => {}) // `take` tries again and tells
    },
  }
}

async function create(unshare: string): Promise<Identity> {
  const { base, count, release } = await takeUidRange()
  try {
    const map = { inside: 0, outside: base, count }
    const userns = await createUserNamespace(unshare, map, map)
    return {
      base,
      userns,
      release: () => {
        closeSync(userns)
        release()
      },
    }
  } catch (error) {
    release()
    throw error
  }
}
