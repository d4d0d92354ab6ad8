/**
 * Encodes X.509 certificates (RFC 5280) signed with ECDSA P-256 and SHA-256: node-forge's DER, Node's keys.
 * Decides nothing: what a certificate says is up to authority.ts and leaf.ts.
 */
import { createHash, randomBytes } from 'node:crypto'
import forge from 'node-forge'

const { asn1 } = forge
const { Class } = asn1

/** ASN.1 tag numbers. */
export const { Type } = asn1
export type Asn1 = forge.asn1.Asn1

export type CertificateFields = {
  readonly issuer: Asn1
  readonly subject: Asn1
  /** Milliseconds since 1970; certificates know whole seconds. */
  readonly notBefore: number
  readonly notAfter: number
  /** SPKI DER; see `isP256PublicKey`. */
  readonly subjectPublicKey: Buffer
  readonly extensions: readonly Asn1[]
}

/** Signs DER bytes: ECDSA with SHA-256, the signature as DER (RFC 3279 §2.2.3). */
export type Signer = (bytes: Buffer) => Buffer

/** A certificate as PEM (RFC 7468), with a random positive serial number of 16 bytes. */
export function encodeCertificate(fields: CertificateFields, sign: Signer): string {
  const body = sequence([
    tagged(0, [universal(Type.INTEGER, '\x02')]), // version 3
    universal(Type.INTEGER, serialNumber()),
    ECDSA_WITH_SHA256,
    fields.issuer,
    sequence([time(fields.notBefore), time(fields.notAfter)]),
    fields.subject,
    sequence([P256_ALGORITHM, bitString(publicKeyBits(fields.subjectPublicKey))]),
    tagged(3, [sequence([...fields.extensions])]),
  ])
  const signature = sign(toDer(body)).toString('latin1')
  return toPem(toDer(sequence([body, ECDSA_WITH_SHA256, bitString(signature)])))
}

/** Is this the SPKI DER of an uncompressed P-256 point (RFC 5480)? The form that Node exports. */
export function isP256PublicKey(key: Buffer): boolean {
  return key.length === 91 && key.subarray(0, SPKI_PREFIX.length).equals(SPKI_PREFIX)
}

/** A distinguished name, its attributes in this order; values are ASCII. */
export function distinguishedName(attributes: readonly { readonly oid: string; readonly value: string }[]): Asn1 {
  return sequence(attributes.map(({ oid, value }) => relativeName(oid, value)))
}

/**
 * OpenSSL's `subject_hash` of that name, 8 hex digits: the file name under which OpenSSL looks a CA up (X509_NAME_hash).
 * SHA-1 over the RDNs with values in lower case and single spaces, without the outer SEQUENCE; its first four bytes,
 * little-endian.
 */
export function subjectHash(attributes: readonly { readonly oid: string; readonly value: string }[]): string {
  const hash = createHash('sha1')
  for (const { oid, value } of attributes) {
    hash.update(toDer(relativeName(oid, value.trim().replace(/\s+/g, ' ').toLowerCase())))
  }
  return Buffer.from(hash.digest().subarray(0, 4).reverse()).toString('hex')
}

/** Subject or authority key identifier: the first 20 bytes of the key's SHA-256 (RFC 7093 §2, method 1). */
export function keyIdentifier(publicKey: Buffer): string {
  return createHash('sha256').update(publicKeyBits(publicKey), 'latin1').digest().toString('latin1', 0, 20)
}

export function extension(oid: string, critical: boolean, value: Asn1): Asn1 {
  const content = universal(Type.OCTETSTRING, asn1.toDer(value).getBytes())
  return sequence(critical ? [objectId(oid), TRUE, content] : [objectId(oid), content])
}

export function universal(type: forge.asn1.Type, value: string | Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, type, typeof value !== 'string', value)
}

export function sequence(values: Asn1[]): Asn1 {
  return universal(Type.SEQUENCE, values)
}

/** Context-specific tag: constructed around values, or primitive with these bytes. */
export function tagged(tag: number, value: string | Asn1[]): Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, typeof value !== 'string', value)
}

export function objectId(oid: string): Asn1 {
  return universal(Type.OID, asn1.oidToDer(oid).getBytes())
}

export function toDer(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'latin1')
}

/** Lines of 64 characters, and no empty one where the length is a multiple of 64: OpenSSL refuses that. */
export function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function relativeName(oid: string, value: string): Asn1 {
  return universal(Type.SET, [sequence([objectId(oid), universal(Type.UTF8, value)])])
}

function time(milliseconds: number): Asn1 {
  const date = new Date(milliseconds)
  return date.getUTCFullYear() < 2050 // RFC 5280 §4.1.2.5
    ? universal(Type.UTCTIME, asn1.dateToUtcTime(date))
    : universal(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date))
}

function serialNumber(): string {
  const bytes = randomBytes(16)
  // The top bits 01 keep it positive and exactly 16 bytes long.
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('latin1')
}

function publicKeyBits(key: Buffer): string {
  if (!isP256PublicKey(key)) throw new TypeError('not a P-256 public key')
  return key.toString('latin1', SPKI_PREFIX.length - 1)
}

function bitString(bytes: string): Asn1 {
  return universal(Type.BITSTRING, `\x00${bytes}`)
}

const TRUE = universal(Type.BOOLEAN, '\xff')
const ECDSA_WITH_SHA256 = sequence([objectId('1.2.840.10045.4.3.2')])
const P256_ALGORITHM = sequence([objectId('1.2.840.10045.2.1'), objectId('1.2.840.10045.3.1.7')])
/** Everything before the coordinates; its last byte marks an uncompressed point. */
const SPKI_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')
