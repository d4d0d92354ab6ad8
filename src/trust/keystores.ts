/**
 * Java keystores: adds a CA to what a keystore already trusts. The result is always a JKS file with Java's customary
 * password, which every Java reads wherever a keystore is expected (`keystore.type.compat`), with and without it.
 *
 *     JKS: magic, version 2, count, then per entry: tag, alias, date, ("X.509", DER), and a SHA-1 over password,
 *     a fixed phrase and everything before it. Integers are big-endian; strings are modified UTF-8 behind a length.
 */
import { createHash, X509Certificate } from 'node:crypto'
import forge from 'node-forge'

export type MergedKeystore = {
  readonly bytes: Buffer
  /** What an operator should know about it, in one sentence, or null. */
  readonly note: string | null
}

/**
 * `original` with `authority` (DER) as one more trusted certificate, dated `date` (milliseconds since 1970).
 * Where the original is neither JKS nor a PKCS#12 that can be read, `roots` (DER each) take its place. Never throws.
 */
export function mergeKeystore(
  original: Buffer,
  authority: Buffer,
  roots: readonly Buffer[],
  date: number,
): MergedKeystore {
  const jks = readJks(original)
  if (jks !== null) {
    const merged = [...jks.entries, trustedEntry(freeAlias(jks.aliases), authority, date)]
    return { bytes: writeJks(merged), note: jks.customPassword ? 'its password is changeit inside the sandbox' : null }
  }
  const pkcs12 = readPkcs12(original)
  const certificates = (pkcs12 ?? roots).filter(isCertificate)
  const entries = certificates.map((der, index) => trustedEntry(`root-${index}`, der, date))
  return {
    bytes: writeJks([...entries, trustedEntry(OUR_ALIAS, authority, date)]),
    note: pkcs12 === null ? "it could not be read; inside the sandbox it holds the PEM bundle's roots instead" : null,
  }
}

type Jks = {
  /** Whole entries as they stand, keys included. */
  readonly entries: readonly Buffer[]
  readonly aliases: ReadonlySet<string>
  /** Its digest was made with another password than Java's customary one. */
  readonly customPassword: boolean
}

/** Null for anything that is not one whole, well-formed JKS file of version 2. */
function readJks(bytes: Buffer): Jks | null {
  const end = bytes.length - DIGEST_BYTES
  let at = 0
  const integer = (size: 2 | 4): number => {
    if (at + size > end) throw new RangeError('truncated')
    at += size
    return bytes.readUIntBE(at - size, size)
  }
  const take = (size: number): Buffer => {
    if (at + size > end) throw new RangeError('truncated')
    at += size
    return bytes.subarray(at - size, at)
  }
  const certificate = (): void => {
    take(integer(2)) // its type
    take(integer(4))
  }
  try {
    if (integer(4) !== MAGIC || integer(4) !== VERSION) return null
    const count = integer(4)
    const entries: Buffer[] = []
    const aliases = new Set<string>()
    for (let entry = 0; entry < count; entry += 1) {
      const start = at
      const tag = integer(4)
      aliases.add(take(integer(2)).toString('latin1').toLowerCase())
      take(8) // date
      if (tag === PRIVATE_KEY) {
        take(integer(4))
        for (let chain = integer(4); chain > 0; chain -= 1) certificate()
      } else if (tag === TRUSTED_CERTIFICATE) {
        certificate()
      } else {
        return null
      }
      entries.push(bytes.subarray(start, at))
    }
    if (at !== end) return null
    return { entries, aliases, customPassword: !digest(bytes.subarray(0, end)).equals(bytes.subarray(end)) }
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

function writeJks(entries: readonly Buffer[]): Buffer {
  const content = Buffer.concat([integers(MAGIC, VERSION, entries.length), ...entries])
  return Buffer.concat([content, digest(content)])
}

function trustedEntry(alias: string, der: Buffer, date: number): Buffer {
  const time = Buffer.alloc(8)
  time.writeBigInt64BE(BigInt(date))
  return Buffer.concat([integers(TRUSTED_CERTIFICATE), text(alias), time, text('X.509'), integers(der.length), der])
}

function freeAlias(taken: ReadonlySet<string>): string {
  let alias = OUR_ALIAS
  for (let number = 2; taken.has(alias); number += 1) alias = `${OUR_ALIAS}-${number}`
  return alias
}

function integers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, 4 * index)
  })
  return bytes
}

/** ASCII is its own modified UTF-8. */
function text(ascii: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(ascii.length)
  return Buffer.concat([length, Buffer.from(ascii, 'latin1')])
}

function digest(content: Buffer): Buffer {
  return createHash('sha1').update(Buffer.from(PASSWORD, 'utf16le').swap16()).update(PHRASE).update(content).digest()
}

/** The certificates of a PKCS#12 file (RFC 7292), with Java's customary password or none; null if it cannot be read. */
function readPkcs12(bytes: Buffer): readonly Buffer[] | null {
  const { asn1, pki, pkcs12 } = forge
  for (const password of [PASSWORD, null, '']) {
    try {
      // null asks node-forge to read without a password, which its types do not know.
      const file = pkcs12.pkcs12FromAsn1(asn1.fromDer(bytes.toString('latin1')), true, password as string)
      return file.safeContents
        .flatMap(content => content.safeBags)
        .filter(bag => bag.type === pki.oids.certBag)
        .flatMap(bag => {
          // An RSA certificate comes parsed, any other as it is; both keep the DER that was read.
          const value = bag.cert === undefined || bag.cert === null ? bag.asn1 : pki.certificateToAsn1(bag.cert)
          return value === undefined ? [] : [Buffer.from(asn1.toDer(value).getBytes(), 'latin1')]
        })
    } catch {
      // the next password, or not a PKCS#12 at all
    }
  }
  return null
}

/** One bad certificate makes Java refuse the whole keystore. */
function isCertificate(der: Buffer): boolean {
  try {
    return new X509Certificate(der).raw.equals(der)
  } catch {
    return false
  }
}

const MAGIC = 0xfeedfeed
const VERSION = 2
const PRIVATE_KEY = 1
const TRUSTED_CERTIFICATE = 2
const DIGEST_BYTES = 20
const PASSWORD = 'changeit'
const PHRASE = 'Mighty Aphrodite'
const OUR_ALIAS = 'clrk-egress-gateway'
