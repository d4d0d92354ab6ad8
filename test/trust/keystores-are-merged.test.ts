/** Java's own tools and HTTPS client judge what keystores.ts writes. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import * as fs from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import { mintLeaf } from '../../src/pki/leaf.ts'
import { mergeKeystore } from '../../src/trust/keystores.ts'

const DATE = Date.UTC(2026, 0, 1)
const JDKS = ['java-17-openjdk-amd64', 'temurin-25-jdk-amd64']
  .map(name => `/usr/lib/jvm/${name}/bin`)
  .filter(fs.existsSync)

const directory = fs.mkdtempSync(join(tmpdir(), 'clrk-keystores-'))
after(() => fs.rmSync(directory, { recursive: true, force: true }))
const authority = loadOrCreateAuthority(join(directory, 'authorities'), 'default/egress')
const ca = new X509Certificate(authority.certificatePem)
const old = [authorityOf('default/one'), authorityOf('default/two')]

test('this machine has a JDK', () => assert.ok(JDKS.length > 0))

for (const jdk of JDKS) {
  const label = jdk.split('/')[4]

  test(`a JKS keeps its entries and gains ours (${label})`, () => {
    assert.deepEqual(
      listed(jdk, mergeKeystore(made(jdk, 'jks', '-storetype', 'JKS'), ca.raw, [], DATE)),
      fingerprints(),
    )
  })

  test(`a keystore merged twice holds both CAs (${label})`, () => {
    const once = mergeKeystore(made(jdk, 'twice', '-storetype', 'JKS'), ca.raw, [], DATE)
    const second = authorityOf('default/second')
    const twice = mergeKeystore(once.bytes, second.raw, [], DATE)
    assert.deepEqual(listed(jdk, twice), [...fingerprints(), second.fingerprint256].sort())
  })

  test(`a PKCS#12 keeps its certificates, as JKS (${label})`, () => {
    const merged = mergeKeystore(made(jdk, 'p12', '-storetype', 'PKCS12'), ca.raw, [], DATE)
    assert.equal(merged.note, null)
    assert.deepEqual(listed(jdk, merged), fingerprints())
  })

  test(`so does a PKCS#12 without a password, as newer JDKs ship it (${label})`, () => {
    const open = ['-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE', '-J-Dkeystore.pkcs12.macAlgorithm=NONE']
    const merged = mergeKeystore(made(jdk, 'open', '-storetype', 'PKCS12', ...open), ca.raw, [], DATE)
    assert.equal(merged.note, null)
    assert.deepEqual(listed(jdk, merged), fingerprints())
  })

  test(`a JKS with another password gets the customary one, and it is said (${label})`, () => {
    const bytes = made(jdk, 'custom', '-storetype', 'JKS', '-storepass', 'custom-password')
    const merged = mergeKeystore(bytes, ca.raw, [], DATE)
    assert.equal(merged.note, 'its password is changeit inside the sandbox')
    assert.deepEqual(listed(jdk, merged), fingerprints())
  })

  test(`an unreadable keystore becomes the bundle's roots and ours, less what is no certificate (${label})`, () => {
    const roots = [...old.map(({ raw }) => raw), Buffer.from('no certificate')]
    for (const bytes of [
      Buffer.from('nonsense'),
      made(jdk, 'secret', '-storetype', 'PKCS12', '-storepass', 'custom-password'),
    ]) {
      const merged = mergeKeystore(bytes, ca.raw, roots, DATE)
      assert.match(merged.note ?? '', /could not be read/)
      assert.deepEqual(listed(jdk, merged), fingerprints())
    }
  })

  test(`a Java HTTPS client trusts the merged keystore, and not the one before (${label})`, async t => {
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const cert = mintLeaf(authority, 'localhost', key.publicKey.export({ type: 'spki', format: 'der' }), Date.now())
    const server = createServer({ key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }), cert }, (_, response) =>
      response.end('ok'),
    )
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`
    const source = join(directory, 'Client.java')
    fs.writeFileSync(source, HTTPS_CLIENT)
    const before = join(directory, `before-${label}`)
    const merged = join(directory, `merged-${label}`)
    fs.writeFileSync(before, made(jdk, 'client', '-storetype', 'JKS'))
    fs.writeFileSync(merged, mergeKeystore(fs.readFileSync(before), ca.raw, [], DATE).bytes)
    const get = (...options: readonly string[]) => promisify(execFile)(join(jdk, 'java'), [...options, source, url])
    await assert.rejects(get(`-Djavax.net.ssl.trustStore=${before}`), /unable to find valid certification path/)
    for (const password of [[], ['-Djavax.net.ssl.trustStorePassword=changeit']]) {
      assert.equal((await get(`-Djavax.net.ssl.trustStore=${merged}`, ...password)).stdout, '200\n')
    }
  })
}

test('a JKS cut at any byte, or with one changed, never throws and always holds our CA', () => {
  const whole = mergeKeystore(Buffer.alloc(0), old[0]?.raw ?? Buffer.alloc(0), [], DATE).bytes
  for (let at = 0; at < whole.length; at += 1) {
    const changed = Buffer.from(whole)
    changed[at] = (changed[at] ?? 0) ^ 0xff
    for (const bytes of [whole.subarray(0, at), changed])
      assert.ok(mergeKeystore(bytes, ca.raw, [], DATE).bytes.includes(ca.raw))
  }
})

function authorityOf(gateway: string): X509Certificate {
  return new X509Certificate(loadOrCreateAuthority(join(directory, 'authorities'), gateway).certificatePem)
}

/** A keystore by keytool with two certificates of the operator's. */
function made(jdk: string, name: string, ...options: readonly string[]): Buffer {
  const file = join(directory, `${name}-${jdk.split('/')[4]}`)
  old.forEach((certificate, index) => {
    const pem = join(directory, `old-${index}.pem`)
    fs.writeFileSync(pem, certificate.toString())
    const password = options.includes('-storepass') ? [] : ['-storepass', 'changeit']
    execFileSync(
      join(jdk, 'keytool'),
      ['-importcert', '-noprompt', '-alias', `old-${index}`, '-file', pem, '-keystore', file, ...password, ...options],
      { stdio: 'pipe' },
    )
  })
  return fs.readFileSync(file)
}

/** Every certificate's SHA-256, as keytool lists them with the password, which checks the digest. */
function listed(jdk: string, { bytes }: { bytes: Buffer }): readonly string[] {
  const file = join(directory, 'listed')
  fs.writeFileSync(file, bytes)
  const output = execFileSync(join(jdk, 'keytool'), ['-list', '-keystore', file, '-storepass', 'changeit'], {
    encoding: 'utf8',
  })
  return [...output.matchAll(/\(SHA-256\): ([0-9A-F:]{95})/g)].map(([, fingerprint = '']) => fingerprint).sort()
}

function fingerprints(): readonly string[] {
  return [...old, ca].map(({ fingerprint256 }) => fingerprint256).sort()
}

const HTTPS_CLIENT = `
import java.net.URI;
import java.net.http.*;
class Client {
  public static void main(String[] arguments) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
    System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
  }
}`
