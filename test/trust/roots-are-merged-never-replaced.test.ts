import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import type { CertsEntry, HostRoots } from '../../src/trust/image-roots.ts'
import { installTrust } from '../../src/trust/install.ts'
import { planTrust, type TrustFiles } from '../../src/trust/plan.ts'

const directory = fs.mkdtempSync(join(tmpdir(), 'clrk-trust-'))
after(() => fs.rmSync(directory, { recursive: true, force: true }))
const { certificatePem: CA, subjectHash: HASH } = loadOrCreateAuthority(
  join(directory, 'authorities'),
  'default/egress',
)

const NOTHING: HostRoots = { bundles: [], certs: null, keystores: [] }
const DEBIAN: HostRoots = {
  bundles: [
    { paths: ['/etc/ssl/certs/ca-certificates.crt'], realPath: '/etc/ssl/certs/ca-certificates.crt', pem: 'HOST\n' },
  ],
  certs: {
    realPath: '/etc/ssl/certs',
    entries: [
      { path: 'ca-certificates.crt', kind: 'file', bytes: Buffer.from('HOST\n') },
      { path: 'one.0', kind: 'link', target: 'one.pem' },
      { path: 'own.pem', kind: 'file', bytes: Buffer.from('OWN') },
      { path: 'java', kind: 'directory' },
    ],
  },
  keystores: [],
}

test('Debian: the whole directory is bound, everything in it is kept, the CA is in the bundle and under its hash', () => {
  const files = planTrust(DEBIAN, CA, HASH)
  assert.deepEqual(files.binds, [
    { source: 'ca.pem', target: '/run/clrk/ca.pem' },
    { source: 'ca-bundle.pem', target: '/run/clrk/ca-bundle.pem' },
    { source: 'certs', target: '/etc/ssl/certs' },
  ])
  assert.deepEqual(shown(files), {
    'ca.pem': CA,
    'ca-bundle.pem': `HOST\n${CA}`,
    certs: '/',
    'certs/ca-certificates.crt': `HOST\n${CA}`,
    'certs/one.0': '-> one.pem',
    'certs/own.pem': 'OWN',
    'certs/java': '/',
    [`certs/${HASH}.0`]: CA,
  })
  assert.deepEqual(files.notes, [])
})

test('RHEL: a bundle outside the directory is bound over its real file', () => {
  const realPath = '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem'
  const files = planTrust(
    {
      bundles: [{ paths: ['/etc/pki/tls/certs/ca-bundle.crt', realPath], realPath, pem: 'HOST\n' }],
      certs: { realPath: '/etc/pki/tls/certs', entries: [{ path: 'ca-bundle.crt', kind: 'link', target: realPath }] },
      keystores: [],
    },
    CA,
    HASH,
  )
  assert.deepEqual(files.binds.slice(2), [
    { source: 'certs', target: '/etc/pki/tls/certs' },
    { source: 'file-0', target: realPath },
  ])
  assert.deepEqual(shown(files)['file-0'], `HOST\n${CA}`)
  assert.deepEqual(shown(files)['certs/ca-bundle.crt'], `-> ${realPath}`)
})

test('two bundles with different roots keep their own', () => {
  const second = { paths: ['/etc/ssl/cert.pem'], realPath: '/etc/ssl/cert.pem', pem: 'SECOND\n' }
  const files = shown(planTrust({ ...DEBIAN, bundles: [...DEBIAN.bundles, second] }, CA, HASH))
  assert.equal(files['certs/ca-certificates.crt'], `HOST\n${CA}`)
  assert.equal(files['file-0'], `SECOND\n${CA}`)
})

test('a bundle without a last newline is not glued to the CA', () => {
  const bundle = { paths: ['/x'], realPath: '/x', pem: '-----END CERTIFICATE-----' }
  const files = shown(planTrust({ ...NOTHING, bundles: [bundle] }, CA, HASH))
  assert.equal(files['ca-bundle.pem'], `-----END CERTIFICATE-----\n${CA}`)
})

test('a taken hash name moves ours to the next number', () => {
  const entries: readonly CertsEntry[] = [
    { path: `${HASH}.0`, kind: 'link', target: 'x' },
    { path: `${HASH}.1`, kind: 'file', bytes: Buffer.from('other') },
  ]
  const files = shown(planTrust({ ...NOTHING, certs: { realPath: '/etc/ssl/certs', entries } }, CA, HASH))
  assert.equal(files[`certs/${HASH}.0`], '-> x')
  assert.equal(files[`certs/${HASH}.1`], 'other')
  assert.equal(files[`certs/${HASH}.2`], CA)
})

test("without any bundle, Node's own roots stand beside the CA, and it is said", () => {
  const files = planTrust(NOTHING, CA, HASH)
  assert.equal(shown(files)['ca-bundle.pem'], `${rootCertificates.join('\n')}\n${CA}`)
  assert.equal(files.binds.length, 2)
  assert.deepEqual(files.notes, ["there is no CA bundle: the sandbox gets Node's own roots"])
})

test('every variable points at one of the two files, and no variable that replaces roots points at the CA alone', () => {
  const { environment } = planTrust(NOTHING, CA, HASH)
  const adding = Object.entries(environment).filter(([, value]) => value === '/run/clrk/ca.pem')
  assert.deepEqual(
    adding.map(([name]) => name),
    ['NODE_EXTRA_CA_CERTS', 'DENO_CERT'],
  )
  for (const value of Object.values(environment)) assert.match(value, /^(\/run\/clrk\/ca(-bundle)?\.pem|system|1)$/)
})

test('what is installed is whole, readable by any uid whatever the umask, and written once', t => {
  const place = scratch(t)
  const files = planTrust(DEBIAN, CA, HASH)
  const umask = process.umask(0o077)
  t.after(() => process.umask(umask))
  const plan = installTrust(files, place)
  const [installed = ''] = fs.readdirSync(place)
  assert.deepEqual(plan.binds[2], { source: join(place, installed, 'certs'), target: '/etc/ssl/certs' })
  for (const entry of fs.readdirSync(place, { recursive: true, encoding: 'utf8' })) {
    const stat = fs.lstatSync(join(place, entry))
    if (!stat.isSymbolicLink()) assert.equal(stat.mode & 0o777, stat.isDirectory() ? 0o755 : 0o644, entry)
  }
  const inode = fs.statSync(join(place, installed)).ino
  assert.deepEqual(installTrust(planTrust(DEBIAN, CA, HASH), place), plan)
  assert.equal(fs.statSync(join(place, installed)).ino, inode)
  assert.deepEqual(fs.readdirSync(place), [installed])
})

test('another CA or other roots are installed beside it', t => {
  const place = scratch(t)
  installTrust(planTrust(DEBIAN, CA, HASH), place)
  installTrust(planTrust(NOTHING, CA, HASH), place)
  installTrust(
    planTrust(DEBIAN, loadOrCreateAuthority(join(directory, 'authorities'), 'default/b').certificatePem, HASH),
    place,
  )
  assert.equal(fs.readdirSync(place).length, 3)
})

test('a failed installation leaves nothing behind', t => {
  const place = scratch(t)
  const files = planTrust(DEBIAN, CA, HASH)
  const broken = { ...files, entries: [...files.entries, { path: 'ca.pem', kind: 'directory' } as const] }
  assert.throws(() => installTrust(broken, place), /the trust store could not be prepared/)
  assert.deepEqual(fs.readdirSync(place), [])
})

test('a place that other users cannot reach is refused with what to do', t => {
  const place = scratch(t)
  fs.mkdirSync(join(place, 'shut/trust'), { recursive: true })
  fs.chmodSync(join(place, 'shut'), 0o700)
  assert.throws(() => installTrust(planTrust(DEBIAN, CA, HASH), join(place, 'shut/trust')), {
    message: `the trust store could not be prepared: ${place}/shut: other users may not pass through it. The sandbox was not started. chmod o+x ${place}/shut, or use another directory.`,
  })
})

/** Path → content, `-> target` or `/`. */
function shown(files: TrustFiles): Record<string, string> {
  return Object.fromEntries(
    files.entries.map(entry => [
      entry.path,
      entry.kind === 'file' ? entry.bytes.toString() : entry.kind === 'link' ? `-> ${entry.target}` : '/',
    ]),
  )
}

function scratch(t: TestContext): string {
  const place = fs.mkdtempSync(join(tmpdir(), 'clrk-install-'))
  fs.chmodSync(place, 0o755)
  t.after(() => fs.rmSync(place, { recursive: true, force: true }))
  return place
}
