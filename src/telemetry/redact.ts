/**
 * Nothing secret leaves in telemetry (T82): by name (headers, query parameters) whatever the value is, and by value
 * whatever the place is. Text that a terminal may show is made inert (T106).
 */
import { createSearch, scrubText } from '../credentials/scrub.ts'
import { PROVIDERS } from '../providers/registry.ts'

/** Stands for every value that was taken out; what an origin spells in an odd way is masked as the agent sees it. */
export const REDACTED = '[redacted]'

export type Redactor = {
  /** Is any known secret value, in any of its forms, in this latin1 text? */
  readonly holds: (text: string) => boolean
  /** `text` (latin1) with every known secret value replaced. */
  readonly text: (text: string) => string
  /**
   * The same for body bytes. `cut` says which side of the original is missing: there, a secret that was cut in two
   * is taken out from `PART_BYTES` of it on.
   */
  readonly body: (body: Buffer, cut: 'none' | 'end' | 'start') => Buffer
}

/**
 * A redactor for `secretValues` (latin1). Each is looked for as it is, without its `Bearer ` or `Basic ` in front,
 * in base64 (inside other text too: three alignments, both alphabets), percent-encoded and as a JSON string, its
 * punctuation in any of these spellings. Values under `VALUE_BYTES` are not looked for: they would take ordinary text
 * apart. Whatever else the response guard knows (src/secrets/forms.ts) is masked too: an origin that echoes a key must
 * not get it into telemetry by a spelling that it could not get back to the agent. What was encrypted or compressed is
 * not known here.
 */
export function createRedactor(secretValues: readonly string[]): Redactor {
  const forms = formsOf(secretValues)
  if (forms.length === 0) return { holds: () => false, text: text => text, body: body => body }
  const known = new RegExp(forms.map(form => form.replace(/[^A-Za-z0-9]/g, inAnySpelling)).join('|'), 'g')
  const search = createSearch(secretValues.map(value => ({ name: '', value: value.trim() })))
  const text = (given: string) => scrubText(search, given.replace(known, REDACTED), () => {})
  return {
    holds: given => text(given) !== given,
    text,
    body: (body, cut) => {
      const given = body.toString('latin1')
      const redacted = text(cut === 'none' ? given : withoutHalves(given, cut, forms))
      return redacted === given ? body : Buffer.from(redacted, 'latin1')
    },
  }
}

/** Is this header (lower case) one whose value is never recorded? */
export function isSecretHeader(name: string): boolean {
  return SECRET_HEADERS.has(name) || SECRET_HEADER.test(name)
}

/** `target` (a path or URL) with the values of secret query parameters replaced, whatever their names' encoding. */
export function redactQuery(target: string): string {
  const mark = target.indexOf('?')
  if (mark === -1) return target
  const query = target.slice(mark + 1).replace(/([^=&;#]+)=([^&;#]*)/g, (pair, name: string) => {
    return isSecretParameter(name) ? `${name}=${REDACTED}` : pair
  })
  return `${target.slice(0, mark)}?${query}`
}

/** `text` with control characters (C0, DEL, C1, line and direction marks) written out, so that no reader obeys them. */
export function inert(text: string): string {
  return text.replace(CONTROL, character => {
    const code = character.charCodeAt(0)
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
  })
}

function isSecretParameter(name: string): boolean {
  let decoded = name
  try {
    decoded = decodeURIComponent(name)
  } catch {
    // Not percent-encoding: the name as it stands.
  }
  const lower = decoded.trim().toLowerCase()
  return SECRET_PARAMETERS.has(lower) || SECRET_PARAMETER.test(lower)
}

function formsOf(secretValues: readonly string[]): string[] {
  const forms = new Set<string>()
  for (const value of secretValues.flatMap(partsOf)) {
    forms.add(value)
    for (const form of encodingsOf(value)) if (form.length >= PART_BYTES) forms.add(form)
  }
  // The longest first: where two forms begin at one place, the whole of the longer goes.
  return [...forms].sort((a, b) => b.length - a.length)
}

/** The value, what follows its scheme, and what a Basic credential says when it is decoded. */
function partsOf(secretValue: string): string[] {
  const value = secretValue.trim()
  const [, scheme, credential = ''] = /^(bearer|basic)\s+(.+)$/is.exec(value) ?? []
  const parts = [credential]
  if (scheme?.toLowerCase() === 'basic') {
    const pair = Buffer.from(credential, 'base64').toString('latin1')
    parts.push(pair, pair.slice(pair.indexOf(':') + 1))
  }
  return [...(value.length >= VALUE_BYTES ? [value] : []), ...parts.filter(part => part.length >= PART_BYTES)]
}

function encodingsOf(value: string): string[] {
  const bytes = Buffer.from(value, 'latin1')
  const percent = [...bytes]
    .map(byte => (UNRESERVED.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${hex(byte)}`))
    .join('')
  const json = JSON.stringify(value).slice(1, -1)
  return [
    ...[0, 1, 2].flatMap(offset => base64Core(bytes, offset)),
    percent,
    encodeURIComponent(value),
    percent.replace(/%../g, byte => byte.toLowerCase()),
    percent.replaceAll('%20', '+'),
    json,
    json.replaceAll('/', '\\/'),
  ]
}

/** The base64 digits that `bytes` alone decides when they stand `offset` (mod 3) bytes into the encoded text. */
function base64Core(bytes: Buffer, offset: number): string[] {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
  const core = encoded.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6))
  return [core, core.replaceAll('+', '-').replaceAll('/', '_')]
}

/** `text` without the longest piece of a form that ends (or begins) at its cut edge. */
function withoutHalves(text: string, cut: 'end' | 'start', forms: readonly string[]): string {
  let longest = 0
  for (const form of forms) {
    for (let length = Math.min(form.length - 1, text.length); length >= PART_BYTES && length > longest; length--) {
      const found = cut === 'end' ? text.endsWith(form.slice(0, length)) : text.startsWith(form.slice(-length))
      if (found) longest = length
    }
  }
  if (longest === 0) return text
  return cut === 'end' ? text.slice(0, -longest) + REDACTED : REDACTED + text.slice(longest)
}

/** A pattern for one character outside A–Z, a–z and 0–9, as it is or escaped as JSON and URLs do. */
function inAnySpelling(character: string): string {
  const code = hex(character.charCodeAt(0))
  const digits = code.replace(/[A-F]/g, digit => `[${digit}${digit.toLowerCase()}]`)
  const escaped = character === '\\' ? '' : '\\\\?'
  return `(?:${escaped}\\x${code}|\\\\u00${digits}|%${digits})`
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0')
}

const VALUE_BYTES = 4
const PART_BYTES = 8
const UNRESERVED = /[A-Za-z0-9._~-]/
const CONTROL = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g
const SECRET_HEADERS = new Set([
  ...PROVIDERS.flatMap(({ authHeaders }) => authHeaders),
  ...['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key', 'x-auth-token'],
  ...['openai-api-key', 'anthropic-api-key', 'api-key', 'x-goog-api-key', 'x-amz-security-token'],
])
/** Names that say it, in any spelling (`X_Api_Key`, `x-forwarded-authorization`, `x-vault-token`). */
const SECRET_HEADER =
  /authorization|cookie|credential|secret|passw|signature|(?:api|access|subscription|private)[-_]?key|(?:^|[-_])token$/
const SECRET_PARAMETERS = new Set([
  ...PROVIDERS.flatMap(({ authQueryParams }) => authQueryParams),
  ...['key', 'sig', 'auth', 'code', 'jwt', 'pwd', 'sas'],
])
const SECRET_PARAMETER =
  /^x-(?:amz|goog)-|token(?!s)|secret|passw|signature|credential|api[-_]?key|access[-_]?key|authoriz/
