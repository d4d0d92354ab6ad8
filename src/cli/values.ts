/** The values that options carry: each parser gives plain data or a CLRK_ARGUMENT_INVALID that names the option. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseCpu, parseMemory } from '../resources/quantities.ts'
import type { Parsed } from '../resources/schema.ts'
import type { RunRequest, SecretInput } from '../worker/control.ts'
import { usageError } from './arguments.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The state directory: --state, else CLRK_STATE, else ~/.clrk. Absolute. */
export function stateDirectory(option: string | null, environment: Environment): string {
  return resolve(option ?? (environment.CLRK_STATE || join(environment.HOME || homedir(), '.clrk')))
}

/**
 * `--secret NAME=ENVVAR[:KEY]`, merged by NAME; KEY defaults to ENVVAR in lower case with `-` for `_`.
 * An unset or empty variable is an error: an agent that starts without its key fails later and says less.
 */
export function secretsFromEnvironment(flags: readonly string[], environment: Environment): readonly SecretInput[] {
  const byName = new Map<string, Record<string, string>>()
  for (const flag of flags) {
    const match = /^([^=]+)=([A-Za-z_][A-Za-z0-9_]*)(?::(.+))?$/.exec(flag)
    const [, name, variable, key] = match ?? []
    if (name === undefined || variable === undefined) {
      // The argument is not repeated: somebody may have written a key where the variable's name belongs.
      throw usageError(
        '--secret',
        'it is not NAME=ENVVAR[:KEY]',
        'Write --secret anthropic-credentials=ANTHROPIC_API_KEY:api-key.',
      )
    }
    const data = byName.get(name) ?? {}
    data[key ?? variable.toLowerCase().replaceAll('_', '-')] = fromVariable(`--secret ${name}`, variable, environment)
    byName.set(name, data)
  }
  return [...byName].map(([name, data]) => ({ name, data, persist: false }))
}

/** The bytes of a variable as latin1 text. Its value is in no error. */
export function fromVariable(argument: string, variable: string, environment: Environment): string {
  const value = environment[variable]
  if (value) return latin1(value)
  const state = value === undefined ? 'is not set' : 'is empty'
  throw usageError(argument, `the variable ${variable} ${state}`, `Set it: export ${variable}=…`)
}

/** Text as the latin1 form of its UTF-8 bytes, which is how secrets travel. */
export function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** `--allow HOST[:PORT]`, port 443 unless said. The worker checks the name. */
export function allowedHost(flag: string): { readonly host: string; readonly port: number } {
  const match = /^([^\s:/@[\]]+)(?::(\d{1,5}))?$/.exec(flag)
  const port = Number(match?.[2] ?? 443)
  if (match?.[1] === undefined || port < 1 || port > 65_535) {
    throw usageError(
      `--allow ${flag}`,
      'it is not HOST[:PORT]',
      'Write a host name, not a URL: --allow example.com:8443.',
    )
  }
  return { host: match[1], port }
}

/** `--user UID[:GID]`; the group defaults to the user's number. */
export function userIds(flag: string): { readonly uid: number; readonly gid: number } {
  const match = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(flag)
  const uid = Number(match?.[1])
  const gid = Number(match?.[2] ?? match?.[1])
  if (match === null || uid > 65_534 || gid > 65_534) {
    throw usageError(`--user ${flag}`, 'it is not UID[:GID] with numbers up to 65534', 'Write --user 1000:1000.')
  }
  return { uid, gid }
}

/** `--memory`: a Kubernetes quantity of bytes (512Mi, 2Gi, 500M). */
export function memoryBytes(flag: string): number {
  return quantity('--memory', flag, parseMemory(flag))
}

/** `--cpus`: a Kubernetes quantity of cores (2, 0.5, 500m). */
export function cpuCount(flag: string): number {
  return quantity('--cpus', flag, parseCpu(flag))
}

function quantity(option: string, flag: string, parsed: Parsed<number>): number {
  if ('value' in parsed) return parsed.value
  throw usageError(`${option} ${flag}`, `it ${parsed.problem}`, parsed.fix)
}

/** `--pids`: how many processes and threads. */
export function pidCount(flag: string): number {
  const pids = /^\d{1,7}$/.test(flag) ? Number(flag) : 0
  if (pids > 0) return pids
  throw usageError(`--pids ${flag}`, 'it is not a number of processes', 'Write --pids 256.')
}

/** `--runtime`. */
export function runtimeName(text: string | null): RunRequest['runtime'] {
  const known = (['auto', 'local', 'docker'] as const).find(name => name === (text ?? 'auto'))
  if (known === undefined)
    throw usageError(`--runtime ${text}`, 'there is no such runtime', 'Use auto, local or docker.')
  return known
}
