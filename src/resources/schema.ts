/** The pieces that every resource schema is made of. A refusal carries a sentence and, in `params.fix`, what to write. */
import * as z from 'zod'
import { canonicalName } from './hostnames.ts'

/** What reading one scalar gives: its value, or what is wrong with it (after the text itself) and what to write. */
export type Parsed<T> = { readonly value: T } | { readonly problem: string; readonly fix: string }

/** An object that refuses every field that `shape` does not name; the refusal lists the fields that it does. */
export function fields<S extends z.ZodRawShape>(shape: S) {
  const known = Object.keys(shape).join(', ')
  return z.strictObject(shape, { error: issue => (issue.code === 'unrecognized_keys' ? known : undefined) })
}

/** Absent and null are the same, as in Kubernetes. */
export function optional<T extends z.ZodType, D>(schema: T, otherwise: D) {
  return schema.nullish().transform((value): z.output<T> | D => value ?? otherwise)
}

/** A string that `parse` reads. */
export function scalar<T>(parse: (text: string) => Parsed<T>) {
  return z.string().transform((text, context): T => {
    const result = parse(text)
    if ('value' in result) return result.value
    refuse(context, [], `${quote(text)} ${result.problem}`, result.fix)
    return z.NEVER
  })
}

/** One of `values`; a key of `unsupported` is refused by name, its value says what to do instead. */
export function choice<const V extends string>(
  values: readonly V[],
  unsupported: Readonly<Record<string, string>> = {},
) {
  return scalar<V>(text => {
    const value = values.find(known => known === text)
    if (value !== undefined) return { value }
    const instead = Object.hasOwn(unsupported, text) ? unsupported[text] : undefined
    if (instead !== undefined) return { problem: 'is not supported by this version', fix: instead }
    return { problem: 'is not known here', fix: suggest(text, values) }
  })
}

/** Adds a problem at `path` below the value that is being refined. */
export function refuse(
  context: z.core.$RefinementCtx,
  path: readonly PropertyKey[],
  problem: string,
  fix: string,
): void {
  context.issues.push({
    code: 'custom',
    input: undefined,
    path: [...path],
    message: problem,
    params: { fix },
    continue: true,
  })
}

/** `text` for a sentence: quoted, on one line, at most 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 79)}…` : text)
}

/** «Did you mean», or the list of what there is. */
export function suggest(text: string, known: readonly string[]): string {
  const lower = text.toLowerCase()
  const [near] = known
    .map(word => ({ word, distance: distance(lower, word.toLowerCase()) }))
    .filter(({ word, distance }) => distance <= Math.max(1, Math.floor(word.length / 3)))
    .sort((a, b) => a.distance - b.distance)
  return near === undefined ? `Write one of: ${known.join(', ')}.` : `Did you mean ${near.word}?`
}

/** Levenshtein's; texts past 64 characters are far from everything. */
function distance(a: string, b: string): number {
  if (a.length > 64) return 64
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, x] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, y] of [...b].entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (x === y ? 0 : 1)))
    }
    row = next
  }
  return row.at(-1) ?? 64
}

/** RFC 1123 label of 1–63, or (for most object names) subdomain of up to 253 bytes. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

export const label = scalar<string>(text =>
  LABEL.test(text)
    ? { value: text }
    : { problem: 'is not a name', fix: 'Write 1–63 lower-case letters, digits and inner hyphens.' },
)

export const subdomain = scalar<string>(text =>
  text.length <= 253 && text.split('.').every(part => LABEL.test(part))
    ? { value: text }
    : { problem: 'is not an object name', fix: 'Write lower-case letters, digits, inner hyphens and dots.' },
)

export const hostname = scalar(text => {
  const value = canonicalName(text)
  return value === null ? { problem: 'is not a host name', fix: 'Write a name such as api.example.com.' } : { value }
})

export const port = z.int().min(1).max(65535)

/** Metadata as operators write it and as `kubectl get -o yaml` prints it; only the first fields mean something here. */
export const metadata = fields({
  name: subdomain,
  namespace: optional(label, 'default'),
  labels: optional(z.record(z.string(), z.string()), {}),
  annotations: optional(z.record(z.string(), z.string()), {}),
  creationTimestamp: optional(
    scalar<number>(text => {
      const value = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN
      return Number.isNaN(value)
        ? { problem: 'is not a time', fix: 'Leave it out, or write RFC 3339: 2026-01-31T12:00:00Z.' }
        : { value }
    }),
    null,
  ),
  uid: z.unknown().optional(),
  resourceVersion: z.unknown().optional(),
  generation: z.unknown().optional(),
  managedFields: z.unknown().optional(),
  ownerReferences: z.unknown().optional(),
  finalizers: z.unknown().optional(),
  selfLink: z.unknown().optional(),
}).transform(({ name, namespace, labels, annotations, creationTimestamp }): Metadata => {
  return { name, namespace, labels, annotations, createdMs: creationTimestamp }
})

export type Metadata = {
  readonly name: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** Milliseconds since 1970, for «the older wins»; null where no server said it. */
  readonly createdMs: number | null
}

export const GROUP = 'clrk.apoxy.dev'

/** A whole object of `kind` in our group; `status`, which a server writes, is passed over. */
export function resource<K extends string, S extends z.ZodType>(kind: K, spec: S) {
  return fields({
    apiVersion: z.literal(`${GROUP}/v1alpha1`),
    kind: z.literal(kind),
    metadata,
    spec,
    status: z.unknown().optional(),
  }).transform(value => {
    const { metadata, spec } = value as { metadata: Metadata; spec: z.output<S> }
    return { kind, metadata, spec }
  })
}

/** Of Secrets: their namespace is the resource's own; another one is refused by `ownNamespace` (T98). */
export const secretReference = fields({
  name: subdomain,
  namespace: optional(label, null),
  group: optional(z.literal(''), null),
  kind: optional(z.literal('Secret'), null),
})

/** Refuses a Secret reference at `path` that leaves the namespace of `metadata`. */
export function ownNamespace(
  context: z.core.$RefinementCtx,
  metadata: Metadata,
  reference: { readonly namespace: string | null } | null,
  path: readonly PropertyKey[],
): void {
  if (reference === null || reference.namespace === null || reference.namespace === metadata.namespace) return
  const problem = `a Secret of namespace ${reference.namespace} is never used from namespace ${metadata.namespace}`
  refuse(context, [...path, 'namespace'], problem, `Leave namespace out and put the Secret in ${metadata.namespace}.`)
}

/** A Gateway-API reference; group, kind and name must be spelled. Whether it resolves, `references.ts` says. */
export const parentReference = fields({
  group: z.string(),
  kind: scalar<string>(text =>
    text === 'MCPRoute' || text === 'Backend'
      ? { problem: 'is not supported by this version', fix: 'Point at an AIProviderRoute or an EgressGateway.' }
      : { value: text },
  ),
  name: subdomain,
  namespace: optional(label, null),
})

export type ParentReference = z.output<typeof parentReference>
