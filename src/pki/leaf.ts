/** Leaf certificates: one for exactly one host name, at most a day long (T93, T94). */
import { clrkError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { Authority } from './authority.ts'
import { distinguishedName, encodeCertificate, extension, isP256PublicKey } from './certificate.ts'
import { der, objectId, sequence, Tag } from './der.ts'

/**
 * A leaf for `name` (a canonical host name: lower case, no trailing dot) and `subjectPublicKey` (SPKI DER, P-256), as
 * PEM without the CA. Valid from `now` (milliseconds since 1970) less `LIMITS.leafBackdateMs`, for
 * `LIMITS.leafValidityMs`, never outside the CA's own time. About 0.05 ms.
 *
 * Both arguments come from a shard, which is not trusted: CLRK_LEAF_REFUSED for a wildcard, an address, any other
 * name that is not made of plain labels, and any other kind of key. CLRK_INTERNAL when the CA is not valid now.
 */
export function mintLeaf(authority: Authority, name: string, subjectPublicKey: Buffer, now: number): string {
  const problem = nameProblem(name)
  if (problem !== null) {
    throw clrkError('CLRK_LEAF_REFUSED', { name: JSON.stringify(name.slice(0, 64)), reason: problem })
  }
  if (!isP256PublicKey(subjectPublicKey)) {
    throw clrkError('CLRK_LEAF_REFUSED', { name, reason: 'requested for a key that is not ECDSA P-256' })
  }
  if (now < authority.notBefore || now > authority.notAfter) {
    throw clrkError('CLRK_INTERNAL', { reason: `the CA of EgressGateway ${authority.gateway} is not valid now` })
  }
  // Software that reads no SAN reads CN; RFC 5280 allows it 64 characters. Without a subject, the SAN is critical.
  const subject = name.length <= 64 ? [{ oid: '2.5.4.3', value: name }] : []
  return encodeCertificate(
    {
      issuer: authority.issuer,
      subject: distinguishedName(subject),
      notBefore: leafStart(authority, now),
      notAfter: leafEnd(authority, now),
      subjectPublicKey,
      extensions: [
        DIGITAL_SIGNATURE,
        SERVER_AUTHENTICATION,
        extension(AUTHORITY_KEY_IDENTIFIER, false, sequence(der(Tag.CONTEXT | 0, authority.keyIdentifier))),
        extension(SUBJECT_ALTERNATIVE_NAME, subject.length === 0, sequence(der(Tag.CONTEXT | 2, name))), // dNSName
      ],
    },
    authority.sign,
  )
}

/** Until when a leaf that is made at `now` is valid; both in milliseconds since 1970. */
export function leafEnd(authority: Authority, now: number): number {
  return Math.min(leafStart(authority, now) + LIMITS.leafValidityMs, authority.notAfter)
}

function leafStart(authority: Authority, now: number): number {
  return Math.max(now - LIMITS.leafBackdateMs, authority.notBefore)
}

/** Why no leaf is made for `name`, or null. */
function nameProblem(name: string): string | null {
  if (name.length === 0 || name.length > 253) return 'not 1 to 253 characters long'
  if (name.includes('*')) return 'a wildcard'
  if (!PLAIN_NAME.test(name)) return 'not made of lower-case letters, digits, dashes and underscores'
  if (ENDS_IN_NUMBER.test(name)) return 'an address'
  return null
}

const PLAIN_NAME = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/
/** Clients read such names as IPv4 addresses, in any base (WHATWG URL, «ends in a number»). */
const ENDS_IN_NUMBER = /(^|\.)([0-9]+|0x[0-9a-f]*)$/
const DIGITAL_SIGNATURE = extension(objectId('2.5.29.15'), true, der(Tag.BIT_STRING, '\x07\x80'))
const SERVER_AUTHENTICATION = extension(objectId('2.5.29.37'), false, sequence(objectId('1.3.6.1.5.5.7.3.1')))
const AUTHORITY_KEY_IDENTIFIER = objectId('2.5.29.35')
const SUBJECT_ALTERNATIVE_NAME = objectId('2.5.29.17')
