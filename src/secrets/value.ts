/**
 * A secret value in memory. It prints as its name, whatever prints it (template, JSON, util.inspect, console),
 * so that a log line cannot leak it by accident. `reveal` is the only way to the bytes.
 */
import { inspect } from 'node:util'
import { PART_CHARACTERS } from './forms.ts'

export type SecretValue = {
  /** `namespace/name/key` */
  readonly name: string
  /** The bytes as a latin1 string, exactly as stored, less one trailing newline. For the wire and for redaction only. */
  readonly reveal: () => string
}

export function secretValue(name: string, latin1: string): SecretValue {
  const value = latin1.replace(/\r?\n$/, '')
  const shown = `[secret ${name}]`
  return Object.freeze({
    name,
    reveal: () => value,
    toString: () => shown,
    toJSON: () => shown,
    [inspect.custom]: () => shown,
  })
}

/** May this value stand in a header field (RFC 9110 §5.5)? Null if so, else the reason without the value. */
export function headerValueProblem(value: SecretValue): string | null {
  const text = value.reveal()
  if (text.length === 0) return 'it is empty'
  // It could not be told from ordinary text when it is sent back (src/secrets/forms.ts).
  if (text.length < PART_CHARACTERS) return `it is shorter than ${PART_CHARACTERS} characters`
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(text)) return 'it contains control characters'
  if (/[^\x00-\x7e]/.test(text)) return 'it contains characters outside ASCII'
  if (/^[ \t]|[ \t]$/.test(text)) return 'it begins or ends with white space'
  return null
}
