import { setTimeout as sleep } from 'node:timers/promises'

/** Calls `look` until it gives something, and gives that; throws after ten seconds of nothing. */
export async function eventually<T>(look: () => Promise<T | null | undefined> | T | null | undefined): Promise<T> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const found = await look()
    if (found !== null && found !== undefined) return found
    await sleep(50)
  }
  throw new Error(`still nothing after ten seconds: ${look}`)
}
