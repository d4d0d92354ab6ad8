/** What the gateway's upstream proxy is shown: Basic credentials (RFC 7617) of its Secret. Goes to that proxy only. */
import { clrkError } from '../errors.ts'
import type { UpstreamProxy } from '../policy/policy.ts'
import type { SecretValue } from '../secrets/value.ts'

/**
 * The value of Proxy-Authorization, or null where the proxy wants none. From keys `username` and `password`, else from
 * `token`, which holds both as `username:password`. Throws CLRK_SECRET_MISSING where they cannot be made: without them
 * nothing is sent.
 */
export function proxyAuthorization(
  { secret }: UpstreamProxy,
  secretOf: (name: string) => SecretValue | undefined,
): string | null {
  if (secret === null) return null
  const value = (key: string) => secretOf(`${secret}/${key}`)?.reveal()
  const missing = (key: string) => clrkError('CLRK_SECRET_MISSING', { secret, key })
  const [username, password, token] = [value('username'), value('password'), value('token')]
  if (username === undefined && password === undefined) {
    if (token === undefined || !/^[^:]+:/.test(token) || CONTROL.test(token)) throw missing('token')
    return basic(token)
  }
  if (username === undefined || !/^[^:]+$/.test(username) || CONTROL.test(username)) throw missing('username')
  if (password === undefined || CONTROL.test(password)) throw missing('password')
  return basic(`${username}:${password}`)
}

function basic(pair: string): string {
  return `Basic ${Buffer.from(pair, 'latin1').toString('base64')}`
}

/** RFC 7617 §2 forbids them. */
const CONTROL = /[\x00-\x1f\x7f]/
