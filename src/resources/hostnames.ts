/** The one grammar of host names: what a resource, a ClientHello, a DNS question and a Host field may call a host. */
import { domainToASCII } from 'node:url'
import type { HostName, HostPattern } from '../policy/policy.ts'

/** Letters, digits, hyphen (RFC 1123 §2.1), and underscore, which real host names carry. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** A last label of this shape makes resolvers and browsers read the whole as an IPv4 address (WHATWG URL §3.5). */
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/

/**
 * `text` as a canonical name: lower-case A-labels (UTS 46), one trailing dot removed, labels of 1–63 bytes, 1–253 in all.
 * Null for everything else: addresses in any spelling (`127.1`, `0x7f.1`, T13), userinfo, ports, escapes, white space,
 * empty labels. Never throws; applying it twice changes nothing (T10, T11).
 */
export function canonicalName(text: string): HostName | null {
  if (text.length > 1024) return null
  const ascii = /^[A-Za-z0-9._-]*$/.test(text) ? text.toLowerCase() : toAscii(text)
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii
  if (name.length > 253) return null
  const labels = name.split('.')
  if (!labels.every(label => LABEL.test(label))) return null
  return NUMBER.test(labels.at(-1) ?? '') ? null : (name as HostName)
}

/** `example.com`, or `*.example.com` for exactly one label more. Null for any other use of `*` and for non-names. */
export function parsePattern(text: string): HostPattern | null {
  const wildcard = text.startsWith('*.')
  const name = canonicalName(wildcard ? text.slice(2) : text)
  if (name === null || (wildcard && name.length > 251)) return null
  return wildcard ? { kind: 'wildcard', suffix: name } : { kind: 'exact', name }
}

/** domainToASCII would decode `%2e`, so other ASCII is refused before it sees the text. */
function toAscii(text: string): string {
  return /[^A-Za-z0-9._\-\u0080-\u{10ffff}]/u.test(text) ? '' : domainToASCII(text)
}
