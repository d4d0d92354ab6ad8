import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { inspect, promisify } from 'node:util'
import { isClrkError } from '../../src/errors.ts'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'

test('the CA is kept: root-only, the same on the next start, one for each gateway', t => {
  // T91, T92
  const directory = join(scratch(t), 'authorities')
  const first = loadOrCreateAuthority(directory, 'default/egress')
  assert.equal(loadOrCreateAuthority(directory, 'default/egress').certificatePem, first.certificatePem)
  assert.notEqual(loadOrCreateAuthority(directory, 'default/other').certificatePem, first.certificatePem)
  assert.deepEqual(fs.readdirSync(join(directory, 'default')), ['egress', 'other']) // and nothing unfinished
  for (const [path, mode] of [
    ['', 0o700],
    ['default', 0o700],
    ['default/egress', 0o600],
  ] as const) {
    assert.equal(fs.statSync(join(directory, path)).mode & 0o777, mode)
  }
})

test('it is a P-256 CA for leaves alone, ten years long, back-dated five minutes', t => {
  const authority = loadOrCreateAuthority(scratch(t), 'default/egress')
  const text = execFileSync('openssl', ['x509', '-noout', '-text'], {
    input: authority.certificatePem,
    encoding: 'utf8',
  })
  assert.match(text, /Subject: O = clrk, CN = clrk EgressGateway default\/egress\n/)
  assert.match(text, /Basic Constraints: critical\n\s+CA:TRUE, pathlen:0\n/)
  assert.match(text, /Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/)
  assert.match(text, /Subject Key Identifier: \n/)
  assert.match(text, /NIST CURVE: P-256/)
  assert.equal(authority.notAfter - authority.notBefore, 3_652 * 86_400_000)
  const age = Date.now() - authority.notBefore
  assert.ok(age >= 300_000 && age < 400_000, `${age}`)
})

for (const gateway of ['a/b', 'default/egress', `${'n'.repeat(63)}/${'g'.repeat(63)}.${'h'.repeat(60)}`]) {
  test(`OpenSSL computes the same subject hash (${gateway.slice(0, 20)})`, t => {
    const { certificatePem, subjectHash } = loadOrCreateAuthority(scratch(t), gateway)
    const openssl = execFileSync('openssl', ['x509', '-noout', '-subject_hash'], {
      input: certificatePem,
      encoding: 'utf8',
    })
    assert.equal(subjectHash, openssl.trim())
    const commonName = new X509Certificate(certificatePem).subject.split('CN=')[1] ?? ''
    assert.ok(commonName.length <= 64) // RFC 5280, ub-common-name
  })
}

test('processes that race end with one CA', async t => {
  const directory = join(scratch(t), 'authorities')
  const script = `
    const { loadOrCreateAuthority } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/pki/authority.ts'))})
    process.stdout.write(loadOrCreateAuthority(${JSON.stringify(directory)}, 'default/egress').certificatePem)`
  const run = promisify(execFile)
  const outputs = await Promise.all(
    Array.from({ length: 8 }, () => run(process.execPath, ['--input-type=module', '--eval', script])),
  )
  assert.equal(new Set(outputs.map(({ stdout }) => stdout)).size, 1)
  assert.deepEqual(fs.readdirSync(join(directory, 'default')), ['egress'])
})

test('the private key is in nothing that can be printed', t => {
  // T91
  const directory = scratch(t)
  const authority = loadOrCreateAuthority(directory, 'default/egress')
  const stored = fs.readFileSync(join(directory, 'default/egress'), 'utf8')
  const key = /PRIVATE KEY-----\n([^-\n]{40})/.exec(stored)?.[1] ?? ''
  assert.equal(key.length, 40)
  const printed = JSON.stringify(authority) + inspect(authority, { showHidden: true, depth: null })
  assert.ok(!printed.includes(key))
  assert.doesNotMatch(printed, /PRIVATE|KeyObject/)
})

const DAMAGE: readonly (readonly [string, (file: string, text: string, other: string) => void, RegExp])[] = [
  ['an empty file', file => fs.writeFileSync(file, ''), /does not hold one certificate and one private key/],
  ['a half-written file', (file, text) => fs.writeFileSync(file, text.slice(0, 700)), /does not hold one/],
  [
    'the certificate alone',
    (file, text) => fs.writeFileSync(file, text.replace(/-----BEGIN PRIVATE[\s\S]*/, '')),
    /does not hold/,
  ],
  [
    "another gateway's file",
    (file, _, other) => fs.copyFileSync(other, file),
    /not that of EgressGateway default\/egress/,
  ],
  [
    "the certificate with another's key",
    (file, text, other) => {
      const [certificate = ''] = text.split('-----BEGIN PRIVATE')
      fs.writeFileSync(
        file,
        `${certificate}-----BEGIN PRIVATE${fs.readFileSync(other, 'utf8').split('-----BEGIN PRIVATE')[1]}`,
      )
    },
    /belongs to another key/,
  ],
  ['a changed byte', (file, text) => fs.writeFileSync(file, text.replace('MIIB', 'MIIC')), /cannot be read/],
  ['a file that others can read', file => fs.chmodSync(file, 0o644), /others may read or change it/],
  ["somebody else's file", file => fs.chownSync(file, 65_534, 65_534), /belongs to uid 65534/],
  [
    'a link',
    (file, _, other) => {
      fs.unlinkSync(file)
      fs.symlinkSync(other, file)
    },
    /cannot be opened/,
  ],
]
for (const [what, damage, reason] of DAMAGE) {
  test(`${what} is refused with what to do, and left as it is`, t => {
    const directory = scratch(t)
    const file = join(directory, 'default/egress')
    loadOrCreateAuthority(directory, 'default/egress')
    loadOrCreateAuthority(directory, 'default/other')
    const text = fs.readFileSync(file, 'utf8')
    damage(file, text, join(directory, 'default/other'))
    const before = fs.readFileSync(file, 'utf8')
    assert.throws(
      () => loadOrCreateAuthority(directory, 'default/egress'),
      error => {
        assert.ok(isClrkError(error) && error.fault.code === 'CLRK_STATE_DAMAGED')
        assert.match(error.message, reason)
        assert.ok(error.message.includes(file))
        assert.ok(!error.message.includes(text.slice(750, 780)))
        return true
      },
    )
    assert.equal(fs.readFileSync(file, 'utf8'), before)
  })
}

test('a directory that others may look into is refused', t => {
  const directory = scratch(t)
  fs.chmodSync(directory, 0o755)
  assert.throws(() => loadOrCreateAuthority(directory, 'default/egress'), /others may read or change it/)
})

for (const gateway of [
  '',
  'egress',
  '/egress',
  'default/',
  'a/b/c',
  '../x',
  'default/..',
  'default/.x',
  'Default/x',
  'a/b\n',
]) {
  test(`${JSON.stringify(gateway)} is no gateway`, t => {
    const directory = scratch(t)
    assert.throws(
      () => loadOrCreateAuthority(directory, gateway),
      error => isClrkError(error) && error.fault.code === 'CLRK_ARGUMENT_INVALID',
    )
    assert.deepEqual(fs.readdirSync(directory), [])
  })
}

function scratch(t: TestContext): string {
  const directory = fs.mkdtempSync(join(tmpdir(), 'clrk-pki-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}
