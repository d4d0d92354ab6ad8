/** What a request on the control socket must look like (unknown members are refused), and what an error becomes there. */
import { z } from 'zod'
import { type ClrkFault, clrkError, isClrkError, messageOf } from '../errors.ts'
import type { ApplyRequest, RunRequest, SecretInput } from '../worker/control.ts'

const files = z.array(z.strictObject({ path: z.string(), text: z.string() }))
const resourceName = z
  .string()
  .regex(/^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'it is not NAME or NAMESPACE/NAME')
const positive = z.number().positive()

export const secretInput = z.strictObject({
  name: resourceName,
  data: z.record(z.string().regex(/^[-._a-zA-Z0-9]{1,253}$/, 'a key has letters, digits, - . _ only'), z.string()),
  persist: z.boolean(),
}) satisfies z.ZodType<SecretInput>

export const applyRequest = z.strictObject({
  files,
  secrets: z.array(secretInput),
  programDirectory: z.string().nullable(),
  mockProvider: z
    .strictObject({ address: z.string(), authority: z.string(), hostnames: z.array(z.string()) })
    .nullable(),
}) satisfies z.ZodType<ApplyRequest>

export const runRequest = z.strictObject({
  what: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('agent'),
      agentKind: z.enum(['TaskAgent', 'DaemonAgent']),
      name: resourceName,
    }),
    z.strictObject({
      kind: z.literal('command'),
      argv: z.array(z.string()),
      files,
      secrets: z.array(secretInput),
      gateway: resourceName.nullable(),
      allow: z.array(z.strictObject({ host: z.string(), port: z.int().min(1).max(65_535) })),
    }),
  ]),
  callerEnvironment: z.record(z.string(), z.string()),
  callerDirectory: z.string(),
  runtime: z.enum(['auto', 'local', 'docker']),
  image: z.string().min(1).nullable(),
  workspace: z.string().nullable(),
  readOnly: z.boolean(),
  user: z.strictObject({ uid: z.int().min(0), gid: z.int().min(0) }).nullable(),
  memoryBytes: positive.nullable(),
  cpus: positive.nullable(),
  pids: z.int().positive().nullable(),
  stdio: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('pipes') }),
    z.strictObject({
      kind: z.literal('terminal'),
      rows: z.int().min(0).max(65_535),
      columns: z.int().min(0).max(65_535),
    }),
  ]),
}) satisfies z.ZodType<RunRequest>

/** `value` as `schema` has it, or a CLRK_ARGUMENT_INVALID that names the member, never its value. */
export function parseRequest<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw clrkError('CLRK_ARGUMENT_INVALID', {
    argument: issue?.path.join('.') || 'request',
    reason: issue?.message ?? 'it is malformed',
    fix: 'Use a command line of the same version as the worker.',
  })
}

/** What a client is told of `error`: a boot writes in many places, and each may find the disk full. */
export function faultOf(error: unknown): ClrkFault {
  if (isClrkError(error)) return error.fault
  const reason = messageOf(error)
  const { code, path = 'one of its files' } = Object(error) as NodeJS.ErrnoException
  return code !== undefined && DISK.has(code)
    ? { code: 'CLRK_STATE_UNWRITABLE', details: { file: path, reason } }
    : { code: 'CLRK_INTERNAL', details: { reason } }
}

const DISK: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EROFS'])
