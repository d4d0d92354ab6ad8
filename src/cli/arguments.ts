/** The command line's own rules over node:util's parser: every error names the option and what to write instead. */
import { parseArgs } from 'node:util'
import { type ClrkError, clrkError } from '../errors.ts'

/** `flag`: no value. `value`: at most once. `values`: any number of times. */
export type OptionKind = 'flag' | 'value' | 'values'
type Specification = Readonly<Record<string, OptionKind>>

export type Arguments<S extends Specification> = {
  readonly options: {
    readonly [K in keyof S]: S[K] extends 'flag' ? boolean : S[K] extends 'value' ? string | null : readonly string[]
  }
  readonly positionals: readonly string[]
  /** What stands after the first `--`, as it is; null where there is none. */
  readonly command: readonly string[] | null
}

/**
 * Reads `argv` by `specification` (long names); `short` maps one-letter names to long ones. `maximum` positionals.
 * Throws CLRK_ARGUMENT_INVALID.
 */
export function parseArguments<const S extends Specification>(
  argv: readonly string[],
  specification: S,
  { short = {}, maximum = 0 }: { short?: Readonly<Record<string, string>>; maximum?: number } = {},
): Arguments<S> {
  const split = argv.indexOf('--')
  const letters = new Map(Object.entries(short).map(([letter, name]) => [name, letter]))
  const { tokens } = parseArgs({
    args: [...(split < 0 ? argv : argv.slice(0, split))],
    options: Object.fromEntries(
      Object.entries(specification).map(([name, kind]) => {
        const letter = letters.get(name)
        const type = kind === 'flag' ? ('boolean' as const) : ('string' as const)
        return [name, letter === undefined ? { type } : { type, short: letter }]
      }),
    ),
    strict: false,
    tokens: true,
  })
  const positionals: string[] = []
  const found = new Map<string, string[]>()
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const kind = Object.hasOwn(specification, token.name) ? specification[token.name] : undefined
    if (kind === undefined) {
      const guess = nearest(token.name, Object.keys(specification))
      throw usageError(token.rawName, 'there is no such option', guess === null ? SEE_HELP : `Did you mean --${guess}?`)
    }
    const values = found.get(token.name) ?? []
    if (kind === 'flag' && token.value !== undefined) {
      throw usageError(token.rawName, 'it takes no value', `Write ${token.rawName} alone.`)
    }
    if (kind !== 'flag' && (token.value === undefined || (!token.inlineValue && /^-./.test(token.value)))) {
      throw usageError(token.rawName, 'its value is missing', `Write ${token.rawName}=VALUE.`)
    }
    if (kind === 'value' && values.length > 0) throw usageError(token.rawName, 'it is given twice', 'Give it once.')
    found.set(token.name, [...values, token.value ?? ''])
  }
  const extra = positionals[maximum]
  if (extra !== undefined) {
    throw usageError(extra, 'nothing is expected here', split < 0 ? 'A command goes after --.' : SEE_HELP)
  }
  const options = Object.fromEntries(
    Object.entries(specification).map(([name, kind]) => {
      const values = found.get(name) ?? []
      return [name, kind === 'flag' ? values.length > 0 : kind === 'value' ? (values[0] ?? null) : values]
    }),
  ) as Arguments<S>['options']
  return { options, positionals, command: split < 0 ? null : argv.slice(split + 1) }
}

/** An error of the command line itself: exit status 2. */
export function usageError(argument: string, reason: string, fix: string): ClrkError {
  return clrkError('CLRK_ARGUMENT_INVALID', { argument, reason, fix })
}

/** The candidate that `word` most likely meant (at most two edits away), or null. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const [best] = candidates
    .map(candidate => ({ candidate, edits: editDistance(word, candidate) }))
    .filter(({ edits, candidate }) => edits <= 2 && edits < candidate.length)
    .sort((a, b) => a.edits - b.edits)
  return best?.candidate ?? null
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

const SEE_HELP = 'clrk --help and clrk COMMAND --help list what there is.'
