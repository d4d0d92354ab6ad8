/** How scalars of resources are read: durations, quantities, header names, users, paths. */
import { globProblem } from './glob.ts'
import { type Parsed, scalar } from './schema.ts'

/** The longest time that a timer of Node takes; a longer one would fire at once. */
const MAXIMUM_MS = 2_147_483_647

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

/** A Go duration (`1h30m`, `100s`, `1.5h`) that is longer than nothing, in whole milliseconds, at least 1. */
export function parseDuration(text: string): Parsed<number> {
  const fix = 'Write a duration such as 30s, 5m or 1h30m.'
  const parts = [...text.matchAll(/(\d{1,15}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|μs|ms|s|m|h)/gy)]
  if (text === '' || parts.reduce((length, [part]) => length + part.length, 0) !== text.length) {
    return { problem: 'is not a duration', fix }
  }
  const value = Math.ceil(parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0), 0))
  if (value === 0) return { problem: 'is no time at all', fix }
  return value > MAXIMUM_MS ? { problem: 'is longer than 24 days', fix } : { value }
}

export const duration = scalar(parseDuration)

/** Fields that frame or route a message: a credential in one of them would break it, and policy would be undone. */
const NEVER_INJECTED: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'range',
  'accept-encoding',
])

/** A field name (RFC 9110 §5.1), given in lower case. */
export const headerName = scalar<string>(text => {
  const fix = 'Write a header name such as x-api-key or authorization.'
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(text)) return { problem: 'is not a header name', fix }
  const value = text.toLowerCase()
  return NEVER_INJECTED.has(value) ? { problem: 'is set by the proxy and never carries a credential', fix } : { value }
})

export const modelGlob = scalar<string>(text => {
  const problem = globProblem(text)
  return problem === null ? { value: text } : { problem, fix: 'Write a glob such as claude-*.' }
})

export const endpointGlob = scalar<string>(text => {
  const fix = 'Write a path or a glob of one, such as /v1/messages or /v1/*.'
  const problem = text.startsWith('/') ? globProblem(text) : 'does not begin with /, as every path does'
  return problem === null ? { value: text } : { problem, fix }
})

/** `UID` or `UID:GID`, as the agent sees them; the group is the user's number unless said. */
export const user = scalar<{ uid: number; gid: number }>(text => {
  const [, uid, gid] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text) ?? []
  const value = { uid: Number(uid), gid: Number(gid ?? uid) }
  return uid !== undefined && value.uid < 65_535 && value.gid < 65_535
    ? { value }
    : { problem: 'is not a user', fix: 'Write "1000" or "1000:1000"; numbers up to 65534, no names.' }
})

export const absolutePath = scalar<string>(text =>
  /^\/[^\0]*$/.test(text) && !text.split('/').includes('..')
    ? { value: text }
    : { problem: 'is not an absolute path', fix: 'Write a path that begins with / and has no .. in it.' },
)

/** Five cron fields or one of the `@` words. */
export const cron = scalar<string>(text =>
  /^(?:@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9A-Za-z*,/?-]+(?: +[0-9A-Za-z*,/?-]+){4})$/.test(
    text,
  )
    ? { value: text }
    : { problem: 'is not a cron schedule', fix: 'Write five fields, such as "*/5 * * * *", or @hourly.' },
)
