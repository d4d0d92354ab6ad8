/** Reading what a provider answered: hostile JSON in, values or null out. Nothing here throws. */
import type { Usage } from './provider.ts'

/** The value of a JSON text, or null where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The member that `keys` lead to, or null. */
export function member(value: unknown, ...keys: readonly string[]): unknown {
  let found = value
  for (const key of keys) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, key)) return null
    found = (found as Record<string, unknown>)[key]
  }
  return found ?? null
}

/** A count of tokens: an integer from 0 to 2^53-1, or null. */
export function tokens(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
}

/** A model's name of at most 256 characters, or null. Never a part of a longer text: redaction would not know it. */
export function modelName(value: unknown): string | null {
  return typeof value === 'string' && value !== '' && value.length <= 256 ? value : null
}

/** Later statements win, field by field: that is how every provider's stream counts. Null where nothing was said. */
export function mergeUsage(statements: readonly (Usage | null)[]): Usage | null {
  return statements.reduce<Usage | null>((before, usage) => {
    if (before === null || usage === null) return usage ?? before
    return {
      inputTokens: usage.inputTokens ?? before.inputTokens,
      outputTokens: usage.outputTokens ?? before.outputTokens,
      model: usage.model ?? before.model,
    }
  }, null)
}

/** `text` with its percent-encoding undone, or null where that is malformed. */
export function decodeSegment(text: string | undefined): string | null {
  if (text === undefined) return null
  try {
    return modelName(decodeURIComponent(text))
  } catch {
    return null
  }
}
