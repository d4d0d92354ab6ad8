/**
 * The CA of one EgressGateway: ECDSA P-256, self-signed, signs leaves only (path length 0), ten years.
 * A sandbox trusts exactly its own gateway's CA (T92). The private key is in one root-only file and in this process
 * (T91); nothing that is exported here prints it.
 */
import * as crypto from 'node:crypto'
import { LIMITS } from '../limits.ts'
import {
  distinguishedName,
  encodeCertificate,
  extension,
  keyIdentifier,
  type Signer,
  subjectHash,
} from './certificate.ts'
import { type Der, der, objectId, sequence, Tag, TRUE } from './der.ts'
import { createPrivateFile, damaged, ensurePrivateDirectory, objectPath, readPrivateFile } from './private-files.ts'

export type Authority = {
  /** `namespace/name` of the EgressGateway. */
  readonly gateway: string
  readonly certificatePem: string
  /** OpenSSL's subject_hash: 8 hex digits, the name under which it looks the CA up in a directory. */
  readonly subjectHash: string
  /** The CA's own name, as issuer of its leaves. */
  readonly issuer: Der
  /** Subject key identifier, latin1. */
  readonly keyIdentifier: string
  /** Milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  readonly sign: Signer
}

/**
 * The CA of `gateway` (`namespace/name`), made on first use. `directory` holds one file a gateway, certificate and key
 * in PEM; of several processes that make it at once, all end with the same one.
 *
 * Throws CLRK_STATE_DAMAGED for a file that is not exactly one valid pair of this gateway: it is never replaced, since
 * sandboxes may trust it. CLRK_ARGUMENT_INVALID for an odd name.
 */
export function loadOrCreateAuthority(directory: string, gateway: string): Authority {
  const file = objectPath(directory, gateway)
  ensurePrivateDirectory(directory)
  let text = readPrivateFile(file)
  if (text === null) {
    createPrivateFile(file, createAuthority(gateway, Date.now()))
    text = readPrivateFile(file)
  }
  const pair = readPair(text ?? '', gateway)
  if (typeof pair === 'string') {
    throw damaged(
      file,
      pair,
      `Restore it, or remove ${file} and start again: a new CA is made, for new sandboxes only.`,
    )
  }
  return pair
}

/** Certificate and private key, as PEM. */
function createAuthority(gateway: string, now: number): string {
  const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const subjectPublicKey = publicKey.export({ type: 'spki', format: 'der' })
  const name = distinguishedName(nameOf(gateway))
  const notBefore = now - LIMITS.leafBackdateMs
  const certificate = encodeCertificate(
    {
      issuer: name,
      subject: name,
      notBefore,
      notAfter: notBefore + TEN_YEARS_MS,
      subjectPublicKey,
      extensions: [
        extension(objectId('2.5.29.19'), true, sequence(TRUE + der(Tag.INTEGER, '\x00'))), // CA, path length 0
        extension(objectId('2.5.29.15'), true, der(Tag.BIT_STRING, '\x01\x06')), // keyCertSign, cRLSign
        extension(objectId('2.5.29.14'), false, der(Tag.OCTET_STRING, keyIdentifier(subjectPublicKey))),
      ],
    },
    bytes => crypto.sign('sha256', bytes, privateKey),
  )
  return `${certificate}${privateKey.export({ type: 'pkcs8', format: 'pem' })}`
}

/** The authority in `text`, or why it is none; the reason never holds a part of the text. */
function readPair(text: string, gateway: string): Authority | string {
  const match = PAIR.exec(text)
  if (match === null) return 'it does not hold one certificate and one private key'
  const [, certificatePem = '', keyPem = ''] = match
  let certificate: crypto.X509Certificate
  let privateKey: crypto.KeyObject
  try {
    certificate = new crypto.X509Certificate(certificatePem)
    privateKey = crypto.createPrivateKey(keyPem)
  } catch {
    return 'its certificate or key cannot be read'
  }
  const attributes = nameOf(gateway)
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return 'its key is not ECDSA P-256'
  if (!certificate.checkPrivateKey(privateKey)) return 'its certificate belongs to another key'
  if (!certificate.ca || !certificate.verify(certificate.publicKey)) return 'its certificate is not a self-signed CA'
  if (certificate.subject !== attributes.map(({ short, value }) => `${short}=${value}`).join('\n')) {
    return `its certificate is not that of EgressGateway ${gateway}`
  }
  const notAfter = certificate.validToDate.getTime()
  if (notAfter <= Date.now()) return `its certificate expired on ${certificate.validToDate.toISOString()}`
  return {
    gateway,
    certificatePem,
    subjectHash: subjectHash(attributes),
    issuer: distinguishedName(attributes),
    keyIdentifier: keyIdentifier(certificate.publicKey.export({ type: 'spki', format: 'der' })),
    notBefore: certificate.validFromDate.getTime(),
    notAfter,
    sign: bytes => crypto.sign('sha256', bytes, privateKey),
  }
}

/** O, then CN: `clrk EgressGateway namespace/name`, cut to the 64 characters that RFC 5280 allows, with a hash. */
function nameOf(gateway: string) {
  const whole = `clrk EgressGateway ${gateway}`
  const mark = crypto.createHash('sha256').update(whole).digest('hex').slice(0, 8)
  return [
    { oid: '2.5.4.10', short: 'O', value: 'clrk' },
    { oid: '2.5.4.3', short: 'CN', value: whole.length <= 64 ? whole : `${whole.slice(0, 55)}~${mark}` },
  ] as const
}

const PAIR =
  /^(-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n)(-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n)$/
const TEN_YEARS_MS = 3_652 * 86_400_000
