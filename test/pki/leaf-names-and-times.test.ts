import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isClrkError } from '../../src/errors.ts'
import { LIMITS } from '../../src/limits.ts'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import { mintLeaf } from '../../src/pki/leaf.ts'

const directory = mkdtempSync(join(tmpdir(), 'clrk-pki-'))
after(() => rmSync(directory, { recursive: true, force: true }))
const authority = loadOrCreateAuthority(join(directory, 'authorities'), 'default/egress')
const subjectPublicKey = p256()

const REFUSED = [
  '',
  '.',
  'a..b',
  '.example.com',
  'example.com.',
  '*',
  '*.example.com',
  'a*.example.com',
  'Example.com',
  'exämple.com',
  'a b.com',
  'a\0.com',
  'example.com\n',
  '-a.com',
  'a-.com',
  'a,DNS:b.com',
  'a/b',
  'a:443',
  '127.0.0.1',
  '127.1',
  '1',
  '0x7f000001',
  'a.0x7f',
  'a.1',
  '::1',
  '[::1]',
  'fe80::1',
  `${'a'.repeat(64)}.com`,
  `${'a.'.repeat(126)}bc`,
]
for (const name of REFUSED) {
  test(`no leaf for ${JSON.stringify(name.slice(0, 40))}`, () => {
    // T93
    assert.throws(() => mintLeaf(authority, name, subjectPublicKey, Date.now()), refusal('CLRK_LEAF_REFUSED'))
  })
}

test('no leaf for a key that is not P-256', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'der' })
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ type: 'spki', format: 'der' })
  for (const key of [
    rsa,
    p384,
    Buffer.alloc(0),
    subjectPublicKey.subarray(1),
    Buffer.concat([subjectPublicKey, rsa]),
  ]) {
    assert.throws(() => mintLeaf(authority, 'example.com', key, Date.now()), refusal('CLRK_LEAF_REFUSED'))
  }
})

test('a leaf is valid from five minutes ago, for a day', () => {
  // T94
  const now = Math.floor(authority.notBefore / 1000) * 1000 + 3 * 86_400_000
  const leaf = new X509Certificate(mintLeaf(authority, 'example.com', subjectPublicKey, now))
  assert.equal(leaf.validFromDate.getTime(), now - LIMITS.leafBackdateMs)
  assert.equal(leaf.validToDate.getTime(), now - LIMITS.leafBackdateMs + LIMITS.leafValidityMs)
})

test("a leaf never begins before its CA or outlives it, and there is none outside the CA's time", () => {
  const early = new X509Certificate(mintLeaf(authority, 'example.com', subjectPublicKey, authority.notBefore))
  assert.equal(early.validFromDate.getTime(), authority.notBefore)
  const late = new X509Certificate(mintLeaf(authority, 'example.com', subjectPublicKey, authority.notAfter))
  assert.equal(late.validToDate.getTime(), authority.notAfter)
  for (const now of [authority.notBefore - 1, authority.notAfter + 1]) {
    assert.throws(() => mintLeaf(authority, 'example.com', subjectPublicKey, now), refusal('CLRK_INTERNAL'))
  }
})

test('a name of more than 64 characters stands in the SAN alone, which is then critical', () => {
  const name = `${'a'.repeat(60)}.example.com`
  const leaf = new X509Certificate(mintLeaf(authority, name, subjectPublicKey, Date.now()))
  assert.equal(leaf.subject, undefined)
  assert.equal(leaf.subjectAltName, `DNS:${name}`)
  const critical = Buffer.from('0603551d110101ff', 'hex') // subjectAltName, TRUE
  assert.ok(leaf.raw.includes(critical))
  const short = new X509Certificate(mintLeaf(authority, 'example.com', subjectPublicKey, Date.now()))
  assert.equal(short.subject, 'CN=example.com')
  assert.ok(!short.raw.includes(critical))
})

test('serial numbers are positive, 16 bytes long and never the same', () => {
  const serials = Array.from({ length: 500 }, () => {
    const leaf = new X509Certificate(mintLeaf(authority, 'example.com', subjectPublicKey, Date.now()))
    return leaf.serialNumber
  })
  assert.equal(new Set(serials).size, serials.length)
  for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/)
})

function p256(): Buffer {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' })
}

function refusal(code: string) {
  return (error: unknown) => isClrkError(error) && error.fault.code === code
}
