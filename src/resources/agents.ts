/** TaskAgent (runs to completion) and DaemonAgent (stays): what is started, with which limits and which gateway. */
import * as z from 'zod'
import { parseCpu, parseMemory } from './quantities.ts'
import { choice, fields, GROUP, label, optional, refuse, resource, scalar, subdomain } from './schema.ts'
import { absolutePath, cron, duration, user } from './values.ts'

const text = scalar<string>(value =>
  value.includes('\0') ? { problem: 'has a NUL in it', fix: 'Leave the NUL out.' } : { value },
)

const environment = fields({
  name: scalar<string>(value =>
    /^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(value)
      ? { value }
      : {
          problem: 'is not a variable name',
          fix: 'Write letters, digits, underscores, dots, hyphens; no digit first.',
        },
  ),
  value: optional(text, ''),
})

/** What may be written as a number too: `cpu: 1`, `user: 1000`. */
function orNumber<T extends z.ZodType<unknown, string>>(schema: T) {
  return z.preprocess(value => (typeof value === 'number' ? String(value) : value), schema)
}

const template = fields({
  metadata: optional(
    fields({
      labels: optional(z.record(z.string(), z.string()), {}),
      annotations: optional(z.record(z.string(), z.string()), {}),
    }),
    { labels: {}, annotations: {} },
  ),
  spec: fields({
    image: optional(z.string().min(1), null),
    command: optional(z.array(text), []),
    args: optional(z.array(text), []),
    env: optional(z.array(environment), []),
    workingDir: optional(absolutePath, null),
    readOnlyRootFilesystem: optional(z.boolean(), false),
    user: optional(orNumber(user), null),
  }).superRefine(({ image, command }, context) => {
    if (image !== null || command.length > 0) return
    refuse(context, [], 'there is nothing to start', 'Add command: [PROGRAM, …] or image.')
  }),
})

const resources = optional(
  fields({
    cpu: optional(orNumber(scalar(parseCpu)), 1),
    memory: optional(orNumber(scalar(parseMemory)), 512 * 2 ** 20),
  }),
  { cpu: 1, memory: 512 * 2 ** 20 },
)

const gatewayRef = fields({
  group: optional(z.literal(GROUP), null),
  kind: optional(z.literal('EgressGateway'), null),
  name: subdomain,
  namespace: optional(label, null),
})

const egressRefs = optional(
  z.array(fields({ gatewayRef })).superRefine((all, context) => {
    if (all.length < 2) return
    refuse(context, [1], 'more than one gateway is not supported by this version', 'Attach the routes to one gateway.')
  }),
  [],
)

const count = z.int().min(0)

export const taskAgent = resource(
  'TaskAgent',
  fields({
    template,
    resources,
    egressRefs,
    timeout: optional(duration, 100_000),
    maxConcurrent: optional(count, 0),
    warmPoolSize: optional(count, 0),
    schedule: optional(cron, null),
    delivery: optional(fields({ mode: optional(choice(['Stdin', 'Metadata']), 'Stdin' as const) }), {
      mode: 'Stdin' as const,
    }),
  }),
)

export const daemonAgent = resource(
  'DaemonAgent',
  fields({
    template,
    resources,
    egressRefs,
    restartPolicy: optional(choice(['Always', 'OnFailure', 'Never']), 'Always' as const),
    maxRestarts: optional(count, 0),
    maxLifetimeSeconds: optional(count.max(2_147_483), 0),
  }),
)

/** `timeout` in milliseconds, `resources.cpu` in cores, `resources.memory` in bytes; 0 of a maximum means none. */
export type TaskAgent = z.output<typeof taskAgent>

/** As TaskAgent; `maxRestarts` and `maxLifetimeSeconds` 0 mean no bound. */
export type DaemonAgent = z.output<typeof daemonAgent>
