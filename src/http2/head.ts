/**
 * HTTP/2 field lists as HTTP/1.1 heads, and back. What came is written out as the HTTP/1.1 head that means the same and
 * read by the one strict parser (src/http1/head.ts), so that policy, injection and telemetry see one form, and nothing
 * that HTTP/1.1 could read in two ways gets any further (RFC 9113 §8.2, §10.3; T05, T26). Never throws.
 */
import { NEVER_A_TRAILER } from '../http1/body.ts'
import { dashed, FIELD_TEXT, isAll, isBlank, TOKEN } from '../http1/grammar.ts'
import type { HeadError, RequestHead, ResponseHead } from '../http1/head.ts'
import { malformed, malformedResponse, parseRequestHead, parseResponseHead } from '../http1/head.ts'
import { LIMITS } from '../limits.ts'
import type { Trailers } from './hooks.ts'

/** `raw`: names and values by turns, as they were decoded; what request-rules.ts refuses is refused here too. */
export function requestHeadOf(raw: readonly string[]): RequestHead | HeadError {
  let [method, scheme, path] = ['', '', '']
  let authority: string | null = null
  let host: string | null = null
  let cookie = ''
  let lines = ''
  let count = 1
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const value = raw[at + 1] ?? ''
    if (name === ':method') method = value
    else if (name === ':scheme') scheme = value
    else if (name === ':path') path = value
    else if (name === ':authority') authority = value
    else if (name.startsWith(':')) return malformed('there is an unknown pseudo-header field')
    else if (CONNECTION_SPECIFIC.has(name)) return malformed(`${name} does not exist in HTTP/2`)
    else if (name === 'host') {
      if (host !== null) return malformed('there is more than one Host')
      host = value
    } else if (name === 'cookie')
      cookie += cookie === '' ? value : `; ${value}` // RFC 9113 §8.2.3
    else {
      lines += `${name}: ${value}\r\n`
      count++
    }
  }
  if (authority !== null && host !== null && authority.toLowerCase() !== host.toLowerCase()) {
    return malformed(':authority and Host differ')
  }
  if (method !== 'CONNECT' && scheme !== 'https') return malformed('its scheme is not https')
  if (cookie !== '') {
    lines += `cookie: ${cookie}\r\n`
    count++
  }
  const said = authority ?? host
  if (said === null) return malformed('there is no :authority')
  const text = `${method} ${method === 'CONNECT' ? '/' : path} HTTP/1.1\r\nhost: ${said}\r\n${lines}`
  if (text.length > MAXIMUM) return { kind: 'error', code: 'CLRK_HEAD_TOO_LARGE', details: { limit: MAXIMUM } }
  const head = parseRequestHead(Buffer.from(text, 'latin1'))
  if (head.kind === 'error') return head
  // One line for each field and no other: nothing has smuggled a line end into one.
  if (head.names.length !== count || head.target !== path) return malformed('a field has a control character')
  return head
}

/** The list for `outgoing`, a head as `rewriteRequestHead` makes it. `te: trailers` is ours to say (RFC 9113 §8.2.2). */
export function requestFields(outgoing: string, takesTrailers: boolean): string[] {
  const [method = '', target = ''] = outgoing.slice(0, outgoing.indexOf('\r\n')).split(' ', 2)
  const fields = fieldsOf(outgoing)
  const host = fields.indexOf('host')
  const [, authority = ''] = host < 0 ? [] : fields.splice(host, 2)
  if (takesTrailers) fields.push('te', 'trailers')
  return [':method', method, ':scheme', 'https', ':authority', authority, ':path', target, ...fields]
}

/** A response of an HTTP/2 origin. Error: CLRK_UPSTREAM_MALFORMED. */
export function responseHeadOf(raw: readonly string[]): ResponseHead | HeadError {
  let status = ''
  let lines = ''
  let count = 0
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = [raw[at], raw[at + 1]]
    if (name === ':status') status = value
    else if (name.startsWith(':')) return malformedResponse('there is an unknown pseudo-header field')
    else if (CONNECTION_SPECIFIC.has(name)) return malformedResponse(`${name} does not exist in HTTP/2`)
    else {
      lines += `${name}: ${value}\r\n`
      count++
    }
  }
  const text = `HTTP/1.1 ${status} \r\n${lines}`
  if (text.length > MAXIMUM) return malformedResponse(`the head is larger than ${MAXIMUM} bytes`)
  const head = parseResponseHead(Buffer.from(text, 'latin1'))
  if (head.kind === 'error') return head
  return head.names.length === count ? head : malformedResponse('a field has a control character')
}

/** The list for a response head as `rewriteResponseHead` makes it. */
export function responseFields(outgoing: string): string[] {
  return [':status', outgoing.slice(9, 12), ...fieldsOf(outgoing)]
}

/** Names, lower case, and values of the lines of a head behind its first one. */
export function fieldsOf(head: string): string[] {
  const fields: string[] = []
  let start = head.indexOf('\r\n') + 2
  for (let end = head.indexOf('\r\n', start); end > start; end = head.indexOf('\r\n', start)) {
    const colon = head.indexOf(':', start)
    let [from, to] = [colon + 1, end]
    while (from < to && isBlank(head.charCodeAt(from))) from++
    while (from < to && isBlank(head.charCodeAt(to - 1))) to--
    fields.push(head.slice(start, colon).toLowerCase(), head.slice(from, to))
    start = end + 2
  }
  return fields
}

/** Without those that may not stand in a trailer section, and those that `refuses` (asked for dashed names too; T30). */
export function allowedTrailers(raw: readonly string[], refuses: (lowerName: string) => boolean): Trailers {
  const kept: string[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = [raw[at]?.toLowerCase(), raw[at + 1]]
    const twin = dashed(name)
    const known = isAll(name, TOKEN) && (value === '' || isAll(value, FIELD_TEXT))
    if (known && !NEVER_A_TRAILER.test(twin) && !refuses(name) && !refuses(twin)) kept.push(name, value)
  }
  return kept
}

/** As node:http2 wants trailers and interim heads: an object, which no name can harm. */
export function fieldObject(fields: readonly string[]): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = Object.create(null)
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name = '', value = ''] = [fields[at], fields[at + 1]]
    const before = object[name]
    object[name] = before === undefined ? value : [...(typeof before === 'string' ? [before] : before), value]
  }
  return object
}

const MAXIMUM = LIMITS.headBytes
/** RFC 9113 §8.2.2 */
export const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
