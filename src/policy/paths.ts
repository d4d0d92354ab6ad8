/**
 * Paths that two servers could read differently. A rule that names endpoints is matched on the bytes as sent, so a path
 * that the origin might rewrite into another one is refused, never rewritten here (T41).
 */

/** Escapes of these could be decoded by an origin before it routes: separators, dots, letters, another escape. */
const DECODED_TO_MEANING = /[A-Za-z0-9\-._/\\%#?;\x00-\x1f\x7f]/

/** Why the path of an origin-form target (its part before `?`) could mean another path, or null. */
export function pathProblem(path: string): string | null {
  if (!path.startsWith('/')) return 'the path does not begin with /'
  if (/[^\x21-\x7e]/.test(path)) return 'the path has white space, control characters or bytes outside ASCII'
  if (/[\\#;]/.test(path)) return 'the path has a backslash, a # or a semicolon'
  if (path.includes('//')) return 'the path has an empty segment (//)'
  if (path.split('/').some(segment => segment === '.' || segment === '..')) return 'the path has a . or .. segment'
  for (let at = path.indexOf('%'); at >= 0; at = path.indexOf('%', at + 1)) {
    const digits = path.slice(at + 1, at + 3)
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) return 'the path has a % that escapes nothing'
    if (DECODED_TO_MEANING.test(String.fromCharCode(Number.parseInt(digits, 16)))) {
      return `the path has the escape %${digits}, which an origin may read as another path`
    }
  }
  return null
}
