/** Files of YAML → resources, and every problem with file, line and column. */
import type * as z from 'zod'
import type { ErrorDetails } from '../errors.ts'
import { type DaemonAgent, daemonAgent, type TaskAgent, taskAgent } from './agents.ts'
import { type CredentialInjectionPolicy, credentialInjectionPolicy, type Secret, secret } from './credentials.ts'
import { type EgressGateway, egressGateway } from './gateway.ts'
import { type AIProviderRoute, aiProviderRoute, type EgressL4Route, egressL4Route } from './routes.ts'
import { GROUP, quote, suggest } from './schema.ts'
import { UNSUPPORTED_FIELDS, UNSUPPORTED_KINDS } from './unsupported.ts'
import { type Position, readYaml, type SourceDocument } from './yaml-source.ts'

export type ResourceFile = { readonly path: string; readonly text: string }

export type Resource =
  | Secret
  | EgressGateway
  | EgressL4Route
  | AIProviderRoute
  | CredentialInjectionPolicy
  | TaskAgent
  | DaemonAgent

/** Every resource that is valid, at most one of each kind, namespace and name, in the order of the files. */
export type ResourceSet = readonly Resource[]

/** A ClrkFault (CLRK_RESOURCE_INVALID): where, what is wrong, what to write instead. Never a Secret's value. */
export type Problem = {
  readonly code: 'CLRK_RESOURCE_INVALID'
  readonly details: ErrorDetails & {
    readonly file: string
    /** Both from 1. */
    readonly line: number
    readonly column: number
    readonly reason: string
    readonly fix: string
  }
}

type Kind = Resource['kind']

const SCHEMAS: Readonly<Record<Kind, z.ZodType<Resource>>> = {
  Secret: secret,
  EgressGateway: egressGateway,
  EgressL4Route: egressL4Route,
  AIProviderRoute: aiProviderRoute,
  CredentialInjectionPolicy: credentialInjectionPolicy,
  TaskAgent: taskAgent,
  DaemonAgent: daemonAgent,
}

const KINDS = Object.keys(SCHEMAS) as readonly Kind[]

/**
 * Reads every file. An object with a problem is not in `resources` (so what it would have allowed stays closed), all
 * other objects are. A `List` stands for its items. Never throws.
 */
export function loadResources(files: readonly ResourceFile[]): {
  resources: ResourceSet
  problems: readonly Problem[]
} {
  const resources: Resource[] = []
  const problems: Problem[] = []
  const places = new Map<string, string>()
  for (const { path: file, text } of files) {
    const report = ({ line, column }: Position, reason: string, fix: string) =>
      problems.push({ code: 'CLRK_RESOURCE_INVALID', details: { file, line, column, reason, fix } })
    const source = readYaml(text)
    for (const { at, reason, fix } of source.problems) report(at, reason, fix)
    for (const { value, at } of source.documents.flatMap(objectsOf)) {
      const resource = readResource(value, at, report)
      if (resource === null) continue
      const position = at(['metadata', 'name'])
      const key = `${resource.kind} ${nameOf(resource)}`
      const place = places.get(key)
      if (place === undefined) {
        places.set(key, `${file}:${position.line}`)
        resources.push(resource)
      } else report(position, `${key} is already defined at ${place}`, 'Keep one of the two, or rename one.')
    }
  }
  return { resources, problems }
}

/** `namespace/name` */
export function nameOf({ metadata }: Resource): string {
  return `${metadata.namespace}/${metadata.name}`
}

/** The resources of one kind. */
export function ofKind<K extends Kind>(resources: ResourceSet, kind: K): readonly Extract<Resource, { kind: K }>[] {
  return resources.filter((resource): resource is Extract<Resource, { kind: K }> => resource.kind === kind)
}

/** Of one object; who mends these sees the next. */
const MAXIMUM_ISSUES = 50

type Locate = SourceDocument['locate']
type Report = (at: Position, reason: string, fix: string) => void

function objectsOf({ value, locate }: SourceDocument): { value: unknown; at: Locate }[] {
  if (value === null || value === undefined) return []
  if (!isObject(value) || value.apiVersion !== 'v1' || value.kind !== 'List' || !Array.isArray(value.items)) {
    return [{ value, at: locate }]
  }
  return value.items.map((item: unknown, index) => {
    return { value: item, at: (path, what) => locate(['items', index, ...path], what) }
  })
}

function readResource(value: unknown, at: Locate, report: Report): Resource | null {
  if (!isObject(value)) {
    report(at([]), 'this is not a resource', 'Write an object with apiVersion, kind, metadata and spec.')
    return null
  }
  const schema = schemaOf(value, at, report)
  if (schema === null) return null
  const result = schema.safeParse(value)
  if (result.success) return result.data
  for (const issue of result.error.issues.slice(0, MAXIMUM_ISSUES)) reportIssue(issue, value, at, report)
  return null
}

function schemaOf(value: Record<string, unknown>, at: Locate, report: Report): z.ZodType<Resource> | null {
  const { apiVersion, kind } = value
  const known = KINDS.find(name => name === kind)
  const version = known === 'Secret' ? 'v1' : `${GROUP}/v1alpha1`
  if (typeof kind !== 'string') {
    report(at(['kind']), 'kind is missing', `Write one of: ${KINDS.join(', ')}.`)
  } else if (Object.hasOwn(UNSUPPORTED_KINDS, kind)) {
    report(at(['kind']), `${kind} is not supported by this version`, UNSUPPORTED_KINDS[kind] ?? '')
  } else if (known === undefined) {
    report(at(['kind']), `kind ${quote(kind)} is unknown`, suggest(kind, KINDS))
  } else if (apiVersion !== version) {
    report(at(['apiVersion']), `the apiVersion of ${kind} is not this`, `Write apiVersion: ${version}.`)
  } else return SCHEMAS[known]
  return null
}

/** zod's issue as a sentence. A value is quoted only where a schema of ours did so. */
function reportIssue(issue: z.core.$ZodIssue, root: unknown, at: Locate, report: Report): void {
  const name = issue.path.findLast(step => typeof step === 'string') ?? 'the object'
  const say = (reason: string, fix: string) => report(at(issue.path), reason, fix)
  switch (issue.code) {
    case 'unrecognized_keys':
      for (const key of issue.keys.slice(0, MAXIMUM_ISSUES)) {
        const instead = Object.hasOwn(UNSUPPORTED_FIELDS, key) ? UNSUPPORTED_FIELDS[key] : undefined
        const place = at([...issue.path, key], 'key')
        if (instead !== undefined) report(place, `${key} is not supported by this version`, instead)
        else report(place, `unknown field ${quote(key)}`, suggest(key, issue.message.split(', ')))
      }
      return
    case 'invalid_type':
      if (valueAt(root, issue.path) === undefined) return void say(`${String(name)} is missing`, `Add ${String(name)}.`)
      return void say(
        `${String(name)} is not ${a(issue.expected)}`,
        FIX_OF_TYPE[issue.expected] ?? `Write ${a(issue.expected)}.`,
      )
    case 'invalid_value':
      return void say(
        `${String(name)} is not what it must be`,
        `Write ${issue.values.map(String).join(' or ') || '""'}.`,
      )
    case 'too_small':
      if (issue.origin === 'array') return void say(`${String(name)} is empty`, `Write at least ${issue.minimum} item.`)
      return void say(`${String(name)} is too small`, `Write at least ${issue.minimum}.`)
    case 'too_big':
      return void say(`${String(name)} is too large`, `Write at most ${issue.maximum}.`)
    case 'custom':
      return void say(issue.message, String(issue.params?.fix ?? ''))
    default:
      return void say(`${String(name)} is malformed`, 'Write letters, digits, hyphens, dots and underscores.')
  }
}

const FIX_OF_TYPE: Readonly<Record<string, string>> = {
  string: 'Put it in quotes.',
  array: 'Write a list: one item a line, each after "- ".',
  object: 'Write fields below it, indented.',
  record: 'Write fields below it, indented.',
  boolean: 'Write true or false.',
}

function a(type: string): string {
  if (type === 'int') return 'a whole number'
  return type === 'array' ? 'a list' : type === 'object' || type === 'record' ? 'an object' : `a ${type}`
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, step) => {
    return typeof value === 'object' && value !== null && Object.hasOwn(value, step)
      ? (value as Record<PropertyKey, unknown>)[step]
      : undefined
  }, root)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
