/** The trust store of any image: read out of it, merged with the CA, bound over its own paths; nothing of the host. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import type { ImageFacts } from '../../src/runtimes/image-runtime.ts'
import { installTrust } from '../../src/trust/install.ts'
import { planTrust } from '../../src/trust/plan.ts'
import { busybox, type ImageFile, importImage } from '../world/engine.ts'
import { engine, run, runtime, sh } from './containers.ts'

const authority = loadOrCreateAuthority(join(engine.scratch, 'authorities'), 'default/egress')
const HASHED = `${authority.subjectHash}.0`
const dir = 'directory' as const

let count = 0
async function imageOf(files: Record<string, ImageFile>, changes: readonly string[] = []): Promise<ImageFacts> {
  const name = `localhost/layout-${count++}:latest`
  await importImage(engine, name, { ...busybox(), ...files }, changes)
  return runtime.image(name, () => {})
}

/** What `script` prints in a sandbox of that image with its trust store, as a user who is not root. */
async function seenInside(image: ImageFacts, script: string): Promise<string> {
  const roots = await runtime.roots(image)
  const plan = planTrust(roots, authority.certificatePem, authority.subjectHash)
  const trust = installTrust(plan, join(engine.scratch, 'trust'))
  const { stdout, stderr } = await run(sh(script), { image, trust, user: { uid: 1234, gid: 1234 } })
  assert.equal(stderr, '')
  return stdout
}

const merged = `IMAGE\n${authority.certificatePem}`

const LAYOUTS: Readonly<Record<string, { readonly files: Record<string, ImageFile>; readonly read: string }>> = {
  Debian: {
    files: {
      ...{ 'etc/ssl/': dir, 'etc/ssl/certs/': dir, 'usr/share/ca-certificates/': dir },
      'etc/ssl/certs/ca-certificates.crt': 'IMAGE\n',
      'etc/ssl/certs/one.pem': { link: '/usr/share/ca-certificates/one.crt' },
      'usr/share/ca-certificates/one.crt': 'ONE\n',
    },
    read: 'grep -q ONE /etc/ssl/certs/one.pem && cat /etc/ssl/certs/ca-certificates.crt',
  },
  Alpine: {
    files: {
      ...{ 'etc/ssl/': dir, 'etc/ssl/certs/': dir, 'etc/ssl/certs/ca-certificates.crt': 'IMAGE\n' },
      'etc/ssl/cert.pem': { link: 'certs/ca-certificates.crt' },
    },
    read: 'cat /etc/ssl/cert.pem',
  },
  RHEL: {
    files: {
      ...{ 'etc/ssl/': dir, 'etc/ssl/certs': { link: '/etc/pki/tls/certs' }, 'etc/pki/': dir, 'etc/pki/tls/': dir },
      'etc/pki/tls/certs/': dir,
      'etc/pki/tls/certs/ca-bundle.crt': { link: '../../ca-trust/extracted/pem/tls-ca-bundle.pem' },
      'etc/pki/tls/cert.pem': { link: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem' },
      ...{ 'etc/pki/ca-trust/': dir, 'etc/pki/ca-trust/extracted/': dir, 'etc/pki/ca-trust/extracted/pem/': dir },
      'etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem': 'IMAGE\n',
    },
    read: 'cat /etc/pki/tls/certs/ca-bundle.crt',
  },
  SUSE: {
    files: {
      ...{ 'etc/ssl/': dir, 'etc/ssl/certs': { link: '../../var/lib/ca-certificates/pem' } },
      'etc/ssl/ca-bundle.pem': { link: '../../var/lib/ca-certificates/ca-bundle.pem' },
      ...{ 'var/': dir, 'var/lib/': dir, 'var/lib/ca-certificates/': dir, 'var/lib/ca-certificates/pem/': dir },
      'var/lib/ca-certificates/ca-bundle.pem': 'IMAGE\n',
    },
    read: 'cat /etc/ssl/ca-bundle.pem',
  },
}

for (const [name, { files, read }] of Object.entries(LAYOUTS)) {
  test(`${name}: the image's own roots and the CA, at its own paths, for any user`, async () => {
    const image = await imageOf(files)
    const roots = await runtime.roots(image)
    assert.deepEqual(
      roots.bundles.map(({ pem }) => pem),
      ['IMAGE\n'],
    )
    assert.equal(await seenInside(image, read), merged)
    assert.equal(await seenInside(image, `cat /etc/ssl/certs/${HASHED}`), authority.certificatePem)
    assert.equal(await seenInside(image, 'cat /run/clrk/ca-bundle.pem'), merged)
  })
}

test('an image with no trust store at all, without a shell: the variables point at what is there', async () => {
  const image = await imageOf({})
  assert.deepEqual(await runtime.roots(image), { bundles: [], certs: null, keystores: [] })
  const bundle = await seenInside(image, 'cat $SSL_CERT_FILE')
  assert.ok(bundle.split('BEGIN CERTIFICATE').length > 50)
  assert.equal(await seenInside(image, 'cat $NODE_EXTRA_CA_CERTS'), authority.certificatePem)
})

test('a Java keystore is found where the image says that Java is, and among the runtimes', async () => {
  const store = { bytes: Buffer.from('no real one') }
  const image = await imageOf(
    {
      ...{ 'opt/': dir, 'opt/java/': dir, 'opt/java/lib/': dir, 'opt/java/lib/security/': dir },
      'opt/java/lib/security/cacerts': store,
      ...{
        'usr/': dir,
        'usr/lib/': dir,
        'usr/lib/jvm/': dir,
        'usr/lib/jvm/java-17/': dir,
        'usr/lib/jvm/jre': { link: 'java-17' },
      },
      ...{ 'usr/lib/jvm/java-17/lib/': dir, 'usr/lib/jvm/java-17/lib/security/': dir },
      'usr/lib/jvm/java-17/lib/security/cacerts': store,
    },
    ['ENV JAVA_HOME=/opt/java'],
  )
  assert.deepEqual((await runtime.roots(image)).keystores.map(({ realPath }) => realPath).toSorted(), [
    '/opt/java/lib/security/cacerts',
    '/usr/lib/jvm/java-17/lib/security/cacerts',
  ])
})

test('links of a hostile image lead nowhere on the host, when read and when bound (T118)', async () => {
  const host = join(engine.scratch, 'host')
  mkdirSync(host)
  writeFileSync(join(host, 'ca-certificates.crt'), 'HOST\n')
  const image = await imageOf({
    'etc/ssl': { link: `/../../..${engine.scratch}/elsewhere` },
    run: { link: `../../../..${host}` },
    'etc/pki': { link: '/proc/self/root/etc' },
    ...Object.fromEntries(
      `${engine.scratch}/elsewhere/certs`
        .slice(1)
        .split('/')
        .map((_, at, all) => [`${all.slice(0, at + 1).join('/')}/`, dir]),
    ),
    [`${engine.scratch.slice(1)}/elsewhere/certs/ca-certificates.crt`]: 'IMAGE\n',
    [`${host.slice(1)}/`]: dir,
  })
  assert.equal(await seenInside(image, 'cat /etc/ssl/certs/ca-certificates.crt'), merged)
  assert.deepEqual(readdirSync(host), ['ca-certificates.crt'])
  assert.equal(readFileSync(join(host, 'ca-certificates.crt'), 'utf8'), 'HOST\n')
})

test('a trust store that is the whole image, or endless, is refused', async () => {
  const whole = await imageOf({ 'etc/ssl/': dir, 'etc/ssl/certs': { link: '/' } })
  await assert.rejects(runtime.roots(whole), /it is the root of the image/)
  const many = Array.from({ length: 4097 }, (_, number) => [`etc/ssl/certs/${number}.pem`, 'x'] as const)
  const endless = await imageOf({ 'etc/ssl/': dir, 'etc/ssl/certs/': dir, ...Object.fromEntries(many) })
  await assert.rejects(runtime.roots(endless), /it holds more than 4096 entries/)
})

test('roots are read once for an image, and no container stays', async () => {
  const image = await imageOf({
    'etc/ssl/': dir,
    'etc/ssl/certs/': dir,
    'etc/ssl/certs/ca-certificates.crt': 'IMAGE\n',
  })
  const first = await runtime.roots(image)
  const { Containers } = await engine.docker.info()
  assert.equal(Containers, 0)
  await engine.docker.getImage(image.id).remove()
  assert.deepEqual(await runtime.roots(image), first)
})
