/**
 * The public CA of a pretend internet: leaves on demand, good, expired or for another name.
 * RSA, because node-forge signs with nothing else; one key for all leaves, because making keys is slow.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import forge from 'node-forge'

export type PublicAuthority = {
  /** PEM of the root. */
  readonly certificate: string
  /** PEM of a certificate for `name` (and key). `validTo` in the past makes an expired one. */
  readonly leaf: (name: string, validTo?: Date) => { readonly cert: string; readonly key: string }
  /** The same as a TLS context, made once for each name and date. */
  readonly context: (name: string, validTo?: Date) => SecureContext
}

/** `rootName`: two roots that one side trusts need two. */
export function createPublicAuthority(rootName = 'Stand-in public root'): PublicAuthority {
  const root = newKey()
  const named = [{ name: 'commonName', value: rootName }]
  const certificate = sign({ subject: named, issuer: named, publicKey: root.publicKey, signer: root.privateKey }, [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
  ])
  const leafKey = newKey()
  const leaf: PublicAuthority['leaf'] = (name, validTo) => ({
    key: leafKey.pem,
    cert: sign(
      {
        subject: [{ name: 'commonName', value: name }],
        issuer: named,
        publicKey: leafKey.publicKey,
        signer: root.privateKey,
        validTo,
      },
      [
        { name: 'basicConstraints', cA: false, critical: true },
        { name: 'extKeyUsage', serverAuth: true },
        { name: 'subjectAltName', altNames: [{ type: 2, value: name }] },
      ],
    ),
  })
  const contexts = new Map<string, SecureContext>()
  return {
    certificate,
    leaf,
    context: (name, validTo) => {
      const key = `${name} ${validTo?.getTime() ?? ''}`
      const known = contexts.get(key) ?? createSecureContext({ ...leaf(name, validTo), ca: certificate })
      contexts.set(key, known)
      return known
    },
  }
}

type Subject = forge.pki.CertificateField[]
type Parts = {
  readonly subject: Subject
  readonly issuer: Subject
  readonly publicKey: forge.pki.PublicKey
  readonly signer: forge.pki.rsa.PrivateKey
  readonly validTo?: Date | undefined
}

function sign({ subject, issuer, publicKey, signer, validTo }: Parts, extensions: object[]): string {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = publicKey
  certificate.serialNumber = `01${randomBytes(8).toString('hex')}`
  certificate.validity.notBefore = new Date(Date.now() - 30 * DAY)
  certificate.validity.notAfter = validTo ?? new Date(Date.now() + DAY)
  certificate.setSubject(subject)
  certificate.setIssuer(issuer)
  certificate.setExtensions(extensions)
  certificate.sign(signer, forge.md.sha256.create())
  return forge.pki.certificateToPem(certificate)
}

function newKey(): { pem: string; publicKey: forge.pki.PublicKey; privateKey: forge.pki.rsa.PrivateKey } {
  const { privateKey: pem, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  return { pem, publicKey: forge.pki.publicKeyFromPem(publicKey), privateKey: forge.pki.privateKeyFromPem(pem) }
}

const DAY = 86_400_000
