/** One file of YAML → its documents as plain data, each able to say where in the file a value stands. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type ParsedNode,
  parseAllDocuments,
  type YAMLError,
} from 'yaml'
import { LIMITS } from '../limits.ts'

/** Both from 1. */
export type Position = { readonly line: number; readonly column: number }

export type SourceProblem = { readonly at: Position; readonly reason: string; readonly fix: string }

export type SourceDocument = {
  /** Plain objects, arrays and scalars, without any `__proto__` key and at most `LIMITS.resourceNodes` large. */
  readonly value: unknown
  /** Where the value at `path` begins, or its key; of what is not there, what would hold it. */
  readonly locate: (path: readonly PropertyKey[], what?: 'value' | 'key') => Position
}

const START: Position = { line: 1, column: 1 }

/** Sentences of ours: the library's quote the source, which may be a Secret. */
const SYNTAX: Partial<Record<YAMLError['code'], string>> = {
  TAB_AS_INDENT: 'a tab is used for indentation',
  BAD_INDENT: 'the indentation is wrong, or a bracket is not closed',
  BAD_ALIAS: 'an alias is malformed',
  BAD_DQ_ESCAPE: 'a string has an unknown escape',
  DUPLICATE_KEY: 'a key is there twice',
  MISSING_CHAR: 'a character is missing: a quote, a colon or a bracket',
  NON_STRING_KEY: 'a key is not a string',
  TAG_RESOLVE_FAILED: 'a tag (!…) is unknown',
  UNEXPECTED_TOKEN: 'something stands where it cannot',
  BLOCK_IN_FLOW: 'an indented block stands inside brackets',
  MULTILINE_IMPLICIT_KEY: 'a colon is missing, or a key goes over several lines',
  BLOCK_AS_IMPLICIT_KEY: 'a second colon on one line needs quotes around the value',
}

/**
 * Reads YAML 1.2 (so also JSON), any number of documents. A document with a problem is left out and the others are
 * read; a text that is too large, not UTF-8 or has a NUL gives nothing. Never throws; aliases are bounded (T107).
 */
export function readYaml(text: string): { documents: readonly SourceDocument[]; problems: readonly SourceProblem[] } {
  const unreadable = textProblem(text)
  if (unreadable !== null) return { documents: [], problems: [unreadable] }
  const lines = new LineCounter()
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const documents: SourceDocument[] = []
  const problems: SourceProblem[] = []
  try {
    const parsed = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false, // the library compares every pair; `measure` looks each key up once
      stringKeys: true,
      schema: 'core',
      logLevel: 'silent',
    })
    for (const document of parsed) {
      const [error] = [...document.errors, ...document.warnings]
      const root = document.contents as ParsedNode | null
      const problem =
        error === undefined
          ? root && measure(root)
          : { offset: error.pos[0], reason: SYNTAX[error.code] ?? 'the YAML is malformed', fix: 'Mend the YAML here.' }
      if (problem !== null) {
        problems.push({ at: positionOf(problem.offset), reason: problem.reason, fix: problem.fix })
        continue
      }
      const value: unknown = document.toJS({ maxAliasCount: -1 })
      const anchors = new Map<string, ParsedNode>()
      if (root !== null) collectAnchors(root, anchors)
      documents.push({ value, locate: (path, what = 'value') => positionOf(offsetOf(root, anchors, path, what)) })
    }
  } catch {
    // A stack that ran out, or a fault of the library's: either way nothing was read.
    problems.push({ at: START, reason: 'the YAML cannot be read', fix: 'Write it more simply.' })
  }
  return { documents, problems }
}

function textProblem(text: string): SourceProblem | null {
  if (Buffer.byteLength(text) > LIMITS.resourceFileBytes) {
    const reason = `the file is larger than ${LIMITS.resourceFileBytes} bytes`
    return { at: START, reason, fix: 'Split it into several files.' }
  }
  if (isOverwhelming(text)) {
    return { at: START, reason: 'the YAML nests too deep or has too many parts', fix: 'Write it flatter, or split it.' }
  }
  const offset = text.isWellFormed() ? text.search(/[\0\ufffd]/) : 0
  if (offset < 0) return null
  const before = text.slice(0, offset).split('\n')
  return {
    at: { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 },
    reason: text[offset] === '\0' ? 'the file has a NUL in it' : 'the file is not UTF-8',
    fix: 'Save it as UTF-8 text.',
  }
}

/** On tokens, before the parser builds anything: four megabytes of `[` take it 20 s. */
function isOverwhelming(text: string): boolean {
  let tokens = 0
  let brackets = 0
  let indicators = 0
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') brackets++
    else if (token === ']' || token === '}') brackets--
    if (token === '-' || token === '?') indicators++
    else if (token.trim() !== '') indicators = 0
    if (Math.max(brackets, indicators) > LIMITS.resourceDepth || ++tokens > 5 * LIMITS.resourceNodes) return true
  }
  return false
}

type NodeProblem = { readonly offset: number; readonly reason: string; readonly fix: string }

/** Refuses what would make plain data of the tree too large or treacherous. */
function measure(root: ParsedNode): NodeProblem | null {
  /** Anchored nodes that were walked to their end, with their size. */
  const sizes = new Map<string, number>()
  let aliases = 0
  let problem: NodeProblem | null = null
  const fail = (node: ParsedNode | null, reason: string, fix: string): number => {
    problem ??= { offset: node?.range?.[0] ?? 0, reason, fix }
    return Number.POSITIVE_INFINITY
  }
  const walk = (node: ParsedNode | null, depth: number): number => {
    if (problem !== null || node === null) return 1
    if (depth > LIMITS.resourceDepth) return fail(node, 'the YAML nests too deep', 'Write it flatter.')
    let size = 1
    if (isAlias(node)) {
      // The library looks through all of them for each.
      if (++aliases > LIMITS.resourceAliases) return fail(node, 'the document has too many aliases', 'Split it.')
      const target = sizes.get(node.source)
      if (target === undefined) return fail(node, 'the alias has no anchor before it', 'Write the value out.')
      size = target
    } else if (isMap(node)) {
      const seen = new Set<string>()
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : ''
        if (name === '__proto__') return fail(key, 'the key __proto__ is never a field', 'Leave it out.')
        if (isAlias(key) || seen.has(name))
          return fail(key, 'the key is there twice, or is an alias', 'Keep one of the two.')
        seen.add(name)
        size += 1 + walk(value, depth + 1)
      }
    } else if (isSeq(node)) {
      for (const item of node.items) size += walk(item, depth + 1)
    }
    if (size > LIMITS.resourceNodes) return fail(node, 'the document is too large, counting its aliases', 'Split it.')
    if (!isAlias(node) && node.anchor !== undefined) sizes.set(node.anchor, size)
    return size
  }
  walk(root, 0)
  return problem
}

function offsetOf(
  root: ParsedNode | null,
  anchors: ReadonlyMap<string, ParsedNode>,
  path: readonly PropertyKey[],
  what: 'value' | 'key',
): number {
  let node = root
  let offset = root?.range?.[0] ?? 0
  for (const [index, step] of path.entries()) {
    if (isAlias(node)) node = anchors.get(node.source) ?? null
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      if (pair === undefined) return offset
      const key = what === 'key' && index === path.length - 1
      offset = (key ? pair.key.range?.[0] : (pair.value?.range?.[0] ?? pair.key.range?.[0])) ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      const item: ParsedNode | undefined = node.items[Number(step)]
      if (item === undefined) return offset
      offset = item.range?.[0] ?? offset
      node = item
    } else return offset
  }
  return offset
}

/** An anchor may be defined again further down; for a position the last one is near enough. */
function collectAnchors(node: ParsedNode, anchors: Map<string, ParsedNode>): void {
  if (isAlias(node)) return
  if (node.anchor !== undefined) anchors.set(node.anchor, node)
  if (isSeq(node)) for (const item of node.items) collectAnchors(item, anchors)
  if (isMap(node)) for (const { value } of node.items) if (value !== null) collectAnchors(value, anchors)
}
