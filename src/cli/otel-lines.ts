/** OTLP/JSON export requests as lines for people: one a span, one a log record. */

/**
 * One line for each span of a traces payload: name, status, tokens, milliseconds, and each credential header as it was
 * recorded (`chat claude-sonnet-4-5 200 in 12 out 34 tokens 210 ms x-api-key [redacted]`). Of a logs payload, the bodies.
 * Never throws: what is not such a payload gives no lines.
 */
export function otelLines(signal: 'traces' | 'logs', payload: string): readonly string[] {
  let body: Tree
  try {
    body = JSON.parse(payload)
  } catch {
    return []
  }
  return signal === 'traces'
    ? each(body, 'resourceSpans', 'scopeSpans', 'spans').map(spanLine)
    : each(body, 'resourceLogs', 'scopeLogs', 'logRecords').map(logLine)
}

/** JSON of unknown shape; every step may be missing. */
type Tree = { readonly [key: string]: Tree | undefined } | readonly Tree[] | string | number | boolean | null

function spanLine(span: Tree): string {
  const attributes = attributesOf(span)
  const [input, output] = ['input', 'output'].map(kind => attributes.get(`gen_ai.usage.${kind}_tokens`))
  const tokens = [input && `in ${input}`, output && `out ${output}`].filter(Boolean).join(' ')
  return [
    text(member(span, 'name')),
    attributes.get('http.response.status_code'),
    tokens && `${tokens} tokens`,
    `${attributes.get('clrk.duration_ms') ?? elapsedMs(span)} ms`,
    ...redactedHeaders(span),
  ]
    .filter(Boolean)
    .join(' ')
}

function logLine(record: Tree): string {
  return [text(member(record, 'severityText')), anyValue(member(record, 'body'))].filter(Boolean).join(' ')
}

/** `name value` of every request header whose value was taken out. */
function redactedHeaders(span: Tree): readonly string[] {
  const [event] = list(member(span, 'events')).filter(event => member(event, 'name') === 'http.request.headers')
  if (event === undefined) return []
  return [...attributesOf(event)]
    .filter(([, value]) => value.includes('[redacted]'))
    .map(([name, value]) => `${name.replace(/^http\.request\.header\./, '')} ${value}`)
}

function elapsedMs(span: Tree): number {
  const [start, end] = ['startTimeUnixNano', 'endTimeUnixNano'].map(name => Number(member(span, name)))
  return Math.round(((end ?? 0) - (start ?? 0)) / 1e6) || 0
}

/** What is found by following `path` through lists of objects. */
function each(tree: Tree, ...path: readonly string[]): readonly Tree[] {
  return path.reduce<readonly Tree[]>((nodes, name) => nodes.flatMap(node => list(member(node, name))), [tree])
}

function attributesOf(tree: Tree): ReadonlyMap<string, string> {
  return new Map(
    list(member(tree, 'attributes')).map(pair => [text(member(pair, 'key')), anyValue(member(pair, 'value'))]),
  )
}

/** An AnyValue as text; a list as its values. */
function anyValue(value: Tree): string {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return ''
  const [kind, inner] = Object.entries(value)[0] ?? []
  if (kind === 'arrayValue')
    return list(member(inner ?? null, 'values'))
      .map(anyValue)
      .join(', ')
  return text(inner ?? null)
}

function member(tree: Tree, name: string): Tree {
  if (tree === null || typeof tree !== 'object' || Array.isArray(tree)) return null
  return (Object.hasOwn(tree, name) ? (tree as Record<string, Tree>)[name] : null) ?? null
}

function list(tree: Tree): readonly Tree[] {
  return Array.isArray(tree) ? tree : []
}

function text(tree: Tree): string {
  return tree === null || typeof tree === 'object' ? '' : String(tree)
}
