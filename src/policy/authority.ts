/** The Host field or `:authority` of a request (RFC 9110 §7.2), read by the same grammar as every other name. */

import { parseAddress } from './addresses.ts'
import { canonicalName } from './names.ts'
import type { HostName } from './policy.ts'

/** `HOST:PORT`, an IPv6 address in brackets (RFC 3986 §3.2.2). */
export function authorityOf(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** `port` is null where the text has none. */
export type Authority =
  | { readonly kind: 'name'; readonly name: HostName; readonly port: number | null }
  | { readonly kind: 'address'; readonly port: number | null }

/**
 * `HOST` or `HOST:PORT`; null for userinfo, two hosts, an empty or odd port, anything that is not a host (T10). ASCII only
 * (RFC 9110 §7.2): the bytes go on as they came, and the origin would not map others to the name that we do (T11).
 */
export function parseAuthority(text: string): Authority | null {
  const [, host = '', digits] =
    /^(\[[0-9A-Fa-f:.]{2,45}\]|[^\s:[\]@/?#,\x00-\x20\x7f-\uffff]{1,1024})(?::([0-9]{1,5}))?$/.exec(text) ?? []
  const port = digits === undefined ? null : Number(digits)
  if (host === '' || (port !== null && (port < 1 || port > 65_535))) return null
  const name = canonicalName(host)
  if (name !== null) return { kind: 'name', name, port }
  return parseAddress(host.replace(/^\[|\]$/g, '')) === null ? null : { kind: 'address', port }
}
