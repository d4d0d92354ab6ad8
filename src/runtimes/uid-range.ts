/**
 * Each sandbox has 65,536 host uids and gids of its own, from 0x70000000 up: above what /etc/subuid hands out, below
 * 2^31, where old programs take ids for negative. Who holds a range says so with an abstract unix socket, which needs
 * no file and which the kernel frees when its holder dies, however that happens.
 */
import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { clrkError, messageOf } from '../errors.ts'

export type UidRange = {
  /** First uid and gid; inside the sandbox it is whoever the agent runs as. */
  readonly base: number
  readonly count: number
  readonly release: () => void
}

/**
 * Takes a range that nobody else on this host (in this network namespace) holds, beginning to look at a random one.
 * Rejects with CLRK_SANDBOX_FAILED if all are taken.
 */
export async function takeUidRange(first: number = randomInt(SLOTS)): Promise<UidRange> {
  for (let tried = 0; tried < SLOTS; tried++) {
    const slot = (first + tried) % SLOTS
    const holder = await hold(slot)
    if (holder !== null) return { base: BASE + slot * COUNT, count: COUNT, release: () => void holder.close() }
  }
  throw clrkError('CLRK_SANDBOX_FAILED', {
    step: 'choosing user ids',
    reason: `all ${SLOTS} ranges are taken`,
    fix: 'Stop sandboxes that are not needed.',
  })
}

function hold(slot: number): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const holder = createServer(connection => connection.destroy())
    holder.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null)
      else {
        const fix = 'Look at the open sockets of the worker.'
        reject(clrkError('CLRK_SANDBOX_FAILED', { step: 'choosing user ids', reason: messageOf(error), fix }))
      }
    })
    holder.listen(`\0clrk/ids/${slot}`, () => resolve(holder.unref()))
  })
}

const BASE = 0x70000000
const COUNT = 0x10000
const SLOTS = 0x10000000 / COUNT
