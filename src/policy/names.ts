/** What a name is worth: matching and shape. How it is spelled, resources need to know too: `resources/hostnames.ts`. */
import type { HostName, HostPattern } from './policy.ts'

export { canonicalName, parsePattern } from '../resources/hostnames.ts'

/** By labels: `*.a.com` takes exactly one label more, so neither `a.com` nor `b.c.a.com` nor `xa.com` (T12). */
export function matchesPattern(pattern: HostPattern, name: HostName): boolean {
  if (pattern.kind === 'exact') return pattern.name === name
  const dot = name.indexOf('.')
  return dot > 0 && name.slice(dot + 1) === pattern.suffix
}

/** RFC 6761, 6762, 7686, 8375 and ICANN's `internal`: never a host of the public internet. `.arpa` is reverse lookup. */
const NOT_PUBLIC: ReadonlySet<string> = new Set(['local', 'localhost', 'internal', 'arpa', 'onion'])

/** Can this be the name of a public host? Not with one label, nor under a domain that means something local. */
export function isPublicHostShape(name: HostName): boolean {
  const dot = name.lastIndexOf('.')
  return dot > 0 && !NOT_PUBLIC.has(name.slice(dot + 1))
}
