/** What makes a request malformed in HTTP/2 alone (RFC 9113 §8.2, §8.3); the rest is for head.ts. Lists as names and values by turns. */
import { isAll, TOKEN } from '../http1/grammar.ts'
import { CONNECTION_SPECIFIC } from './head.ts'

export function malformedRequest(fields: readonly string[]): boolean {
  let seen = 0
  let regular = false
  let connects = false
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name = '', value = ''] = [fields[at], fields[at + 1]]
    if (name.charCodeAt(0) !== COLON) {
      regular = true
      if (malformedField(name, value)) return true
      continue
    }
    const bit = PSEUDO.get(name) ?? 0
    if (regular || bit === 0 || (seen & bit) !== 0 || (name === ':path' && value === '')) return true
    seen |= bit
    if (name === ':method') connects = value === 'CONNECT'
  }
  return connects ? seen !== CONNECTS : (seen & REQUIRED) !== REQUIRED
}

export function malformedTrailers(fields: readonly string[]): boolean {
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name = '', value = ''] = [fields[at], fields[at + 1]]
    if (name.charCodeAt(0) === COLON || malformedField(name, value)) return true
  }
  return false
}

function malformedField(name: string, value: string): boolean {
  if (name === 'te') return value.toLowerCase() !== 'trailers'
  return !isAll(name, NAME) || CONNECTION_SPECIFIC.has(name)
}

const PSEUDO: ReadonlyMap<string, number> = new Map([
  [':method', 1],
  [':scheme', 2],
  [':path', 4],
  [':authority', 8],
])
const REQUIRED = 1 | 2 | 4
const CONNECTS = 1 | 8
const COLON = 0x3a
/** A token without upper case (RFC 9113 §8.2.1): a colon in it would be the end of another name in HTTP/1.1. */
const NAME = TOKEN.map((is, code) => (code >= 0x41 && code <= 0x5a ? 0 : is))
