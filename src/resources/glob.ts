/**
 * Globs of endpoints and models, as Go's path.Match reads them, with one difference on the safe side: a class never
 * matches `/` either. `*` any run without `/`, `?` one character but `/`, `[a-z]`, `[^a-z]`, `\x` for x itself.
 */
import { LIMITS } from '../limits.ts'

/** Why `glob` cannot be used, or null. */
export function globProblem(glob: string): string | null {
  if (glob === '') return 'is empty'
  if (glob.length > LIMITS.globCharacters) return `is longer than ${LIMITS.globCharacters} characters`
  for (let at = 0; at < glob.length; ) {
    if (glob[at] === '[') {
      const end = classEnd(glob, at)
      if (end === null) return `has a class that is empty, unordered or not closed, at character ${at + 1}`
      at = end
    } else if (glob[at] === '\\') {
      if (at + 1 === glob.length) return 'ends in a backslash'
      at += 2
    } else at++
  }
  return null
}

/**
 * Does the whole of `text` match? `glob` has no `globProblem`. At most one step for each pair of their characters (T107):
 * only the last `*` is ever tried again, which finds every match because no `*` crosses a `/`.
 */
export function matchesGlob(glob: string, text: string): boolean {
  let at = 0
  let read = 0
  let star = -1
  let taken = 0
  for (;;) {
    if (glob[at] === '*') {
      star = ++at
      taken = read
      continue
    }
    if (read === text.length) return at === glob.length
    const next = at < glob.length ? step(glob, at, text[read] ?? '') : -1
    if (next > 0) {
      at = next
      read++
    } else {
      if (star < 0 || text[taken] === '/') return false
      at = star
      read = ++taken
    }
  }
}

/** `text` as a glob that matches just it. */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\]/g, '\\$&')
}

/** Where the glob goes on after its element at `at` took `character`; -1 if it does not. */
function step(glob: string, at: number, character: string): number {
  const element = glob[at]
  if (element === '?') return character === '/' ? -1 : at + 1
  if (element === '\\') return glob[at + 1] === character ? at + 2 : -1
  if (element !== '[') return element === character ? at + 1 : -1
  const end = classEnd(glob, at)
  if (end === null || character === '/') return -1
  const negated = glob[at + 1] === '^'
  let found = false
  for (let from = negated ? at + 2 : at + 1; from < end - 1; ) {
    const range = readRange(glob, from)
    if (range === null) return -1
    found ||= range.low <= character && character <= range.high
    from = range.next
  }
  return found === negated ? -1 : end
}

/** One past the `]` of the class that opens at `at`; null where it is malformed. */
function classEnd(glob: string, at: number): number | null {
  let from = glob[at + 1] === '^' ? at + 2 : at + 1
  for (let count = 0; ; count++) {
    if (glob[from] === ']' && count > 0) return from + 1
    const range = readRange(glob, from)
    if (range === null) return null
    from = range.next
  }
}

function readRange(glob: string, from: number): { low: string; high: string; next: number } | null {
  const low = readCharacter(glob, from)
  if (low === null) return null
  if (glob[low.next] !== '-') return { low: low.character, high: low.character, next: low.next }
  const high = readCharacter(glob, low.next + 1)
  return high === null || high.character < low.character
    ? null
    : { low: low.character, high: high.character, next: high.next }
}

function readCharacter(glob: string, from: number): { character: string; next: number } | null {
  const escaped = glob[from] === '\\'
  const character = glob[escaped ? from + 1 : from]
  if (character === undefined || (!escaped && (character === ']' || character === '-'))) return null
  return { character, next: escaped ? from + 2 : from + 1 }
}
