/**
 * Encodes X.509 certificates (RFC 5280) signed with ECDSA P-256 and SHA-256: DER by hand, Node's keys.
 * Decides nothing: what a certificate says is up to authority.ts and leaf.ts.
 */
import { createHash, randomBytes } from 'node:crypto'
import { bitString, type Der, der, objectId, sequence, Tag, TRUE } from './der.ts'

export type CertificateFields = {
  readonly issuer: Der
  readonly subject: Der
  /** Milliseconds since 1970; certificates know whole seconds. */
  readonly notBefore: number
  readonly notAfter: number
  /** SPKI DER; see `isP256PublicKey`. */
  readonly subjectPublicKey: Buffer
  readonly extensions: readonly Der[]
}

/** Signs DER bytes: ECDSA with SHA-256, the signature as DER (RFC 3279 §2.2.3). */
export type Signer = (bytes: Buffer) => Buffer

/** A certificate as PEM (RFC 7468), with a random positive serial number of 16 bytes. */
export function encodeCertificate(fields: CertificateFields, sign: Signer): string {
  if (!isP256PublicKey(fields.subjectPublicKey)) throw new TypeError('not a P-256 public key')
  const body = sequence(
    VERSION_3 +
      der(Tag.INTEGER, serialNumber()) +
      ECDSA_WITH_SHA256 +
      fields.issuer +
      sequence(time(fields.notBefore) + time(fields.notAfter)) +
      fields.subject +
      fields.subjectPublicKey.toString('latin1') +
      der(Tag.CONTEXT | Tag.CONSTRUCTED | 3, sequence(fields.extensions.join(''))),
  )
  const signature = sign(Buffer.from(body, 'latin1')).toString('latin1')
  return toPem(sequence(body + ECDSA_WITH_SHA256 + bitString(signature)))
}

/** Is this the SPKI DER of an uncompressed P-256 point (RFC 5480)? The form that Node exports. */
export function isP256PublicKey(key: Buffer): boolean {
  return key.length === 91 && key.subarray(0, SPKI_PREFIX.length).equals(SPKI_PREFIX)
}

/** A distinguished name, its attributes in this order; values are ASCII. */
export function distinguishedName(attributes: readonly { readonly oid: string; readonly value: string }[]): Der {
  return sequence(attributes.map(({ oid, value }) => relativeName(oid, value)).join(''))
}

/**
 * OpenSSL's `subject_hash` of that name, 8 hex digits: the file name under which OpenSSL looks a CA up (X509_NAME_hash).
 * SHA-1 over the RDNs with values in lower case and single spaces, without the outer SEQUENCE; its first four bytes,
 * little-endian.
 */
export function subjectHash(attributes: readonly { readonly oid: string; readonly value: string }[]): string {
  const hash = createHash('sha1')
  for (const { oid, value } of attributes) {
    hash.update(relativeName(oid, value.trim().replace(/\s+/g, ' ').toLowerCase()), 'latin1')
  }
  return Buffer.from(hash.digest().subarray(0, 4).reverse()).toString('hex')
}

/** Subject or authority key identifier: the first 20 bytes of the key's SHA-256 (RFC 7093 §2, method 1). */
export function keyIdentifier(publicKey: Buffer): string {
  if (!isP256PublicKey(publicKey)) throw new TypeError('not a P-256 public key')
  const point = publicKey.subarray(SPKI_PREFIX.length - 1)
  return createHash('sha256').update(point).digest().toString('latin1', 0, 20)
}

/** `id`: see `objectId`. */
export function extension(id: Der, critical: boolean, value: Der): Der {
  const content = der(Tag.OCTET_STRING, value)
  return sequence(id + (critical ? TRUE : '') + content)
}

/** Lines of 64 characters, and no empty one where the length is a multiple of 64: OpenSSL refuses that. */
function toPem(certificate: Der): string {
  const lines =
    Buffer.from(certificate, 'latin1')
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function relativeName(oid: string, value: string): Der {
  return der(Tag.SET, sequence(objectId(oid) + der(Tag.UTF8_STRING, value)))
}

/** RFC 5280 §4.1.2.5: two digits of the year until 2049. */
function time(milliseconds: number): Der {
  const digits = new Date(milliseconds).toISOString().replace(/[-:T]|\.\d+/g, '')
  return digits < '2050' ? der(Tag.UTC_TIME, digits.slice(2)) : der(Tag.GENERALIZED_TIME, digits)
}

function serialNumber(): string {
  const bytes = randomBytes(16)
  // The top bits 01 keep it positive and exactly 16 bytes long.
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('latin1')
}

const VERSION_3 = der(Tag.CONTEXT | Tag.CONSTRUCTED | 0, der(Tag.INTEGER, '\x02'))
const ECDSA_WITH_SHA256 = sequence(objectId('1.2.840.10045.4.3.2'))
/** Everything before the coordinates; its last byte marks an uncompressed point. */
const SPKI_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')
