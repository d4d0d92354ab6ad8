/** A rate: `burst` at once, `perSecond` after it. Used per sandbox, so that one cannot spend what others need. */
export type TokenBucket = { readonly take: () => boolean }

export function tokenBucket(
  burst: number,
  perSecond: number,
  now: () => number = () => performance.now(),
): TokenBucket {
  let tokens = burst
  let last = now()
  return {
    take: () => {
      const at = now()
      tokens = Math.min(burst, tokens + ((at - last) / 1000) * perSecond)
      last = at
      if (tokens < 1) return false
      tokens -= 1
      return true
    },
  }
}
