/** A deadline that is moved with every chunk: moving it later only stores a number, the timer catches up when it fires. */
export type Deadline = {
  /** Replaces the deadline by one in `ms` milliseconds; Infinity: there is none for now. */
  set: (ms: number) => void
  /** For good: lets go of the timer too. */
  clear: () => void
}

/** `expired` is called once for each deadline that passes. Holds no process open. */
export function createDeadline(expired: () => void): Deadline {
  let at = Infinity
  let firesAt = Infinity
  let timer: NodeJS.Timeout | undefined

  function arm(now: number): void {
    clearTimeout(timer)
    firesAt = at
    timer = setTimeout(check, Math.ceil(at - now)).unref()
  }

  function check(): void {
    firesAt = Infinity
    const now = performance.now()
    if (now < at) {
      if (at !== Infinity) arm(now)
      return
    }
    at = Infinity
    expired()
  }

  return {
    set(ms) {
      if (ms === Infinity) {
        at = Infinity
        return
      }
      const now = performance.now()
      at = now + ms
      if (at < firesAt) arm(now)
    },
    clear() {
      clearTimeout(timer)
      at = firesAt = Infinity
    },
  }
}
