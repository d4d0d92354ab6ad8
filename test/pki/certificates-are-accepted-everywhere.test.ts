/** A thousand leaves, read by four implementations at their strictest. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import { mintLeaf } from '../../src/pki/leaf.ts'

const directory = mkdtempSync(join(tmpdir(), 'clrk-pki-'))
after(() => rmSync(directory, { recursive: true, force: true }))

const authority = loadOrCreateAuthority(join(directory, 'authorities'), 'default/egress')
const other = loadOrCreateAuthority(join(directory, 'authorities'), 'default/another')
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const subjectPublicKey = key.publicKey.export({ type: 'spki', format: 'der' })
const leaves = Array.from({ length: 1_000 }, (_, index) => {
  const name = nameOfLength(1 + (index % 253))
  return {
    name,
    file: join(directory, 'leaves', `${index}.pem`),
    pem: mintLeaf(authority, name, subjectPublicKey, Date.now()),
  }
})
const caFile = join(directory, 'ca.pem')
const listFile = join(directory, 'leaves.tsv')
mkdirSync(join(directory, 'leaves'))
writeFileSync(caFile, authority.certificatePem)
writeFileSync(join(directory, 'key.pem'), key.privateKey.export({ type: 'pkcs8', format: 'pem' }))
for (const { file, pem } of leaves) writeFileSync(file, pem)
writeFileSync(listFile, leaves.map(({ name, file }) => `${name}\t${file}\n`).join(''))

test('no line of a PEM is empty, also where its base64 is a multiple of 64 long', () => {
  const full = leaves.filter(({ pem }) => pem.split('\n').at(-3)?.length === 64)
  assert.ok(full.length > 0, 'the case occurs')
  for (const { pem } of leaves) {
    assert.match(pem, /^-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n$/)
  }
})

test('OpenSSL accepts every leaf with -x509_strict', () => {
  const files = leaves.map(({ file }) => file)
  const output = execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', caFile, ...files], { encoding: 'utf8' })
  assert.deepEqual(
    output.trim().split('\n'),
    files.map(file => `${file}: OK`),
  )
})

test('Node accepts every leaf for its own name and no other', () => {
  const ca = new X509Certificate(authority.certificatePem)
  for (const { name, pem } of leaves) {
    const leaf = new X509Certificate(pem)
    assert.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca) && !leaf.ca)
    assert.equal(leaf.subjectAltName, `DNS:${name}`)
    assert.equal(leaf.checkHost(name), name)
    assert.equal(leaf.checkHost(`www.${name}`), undefined)
  }
})

test('Python accepts every leaf in a handshake with VERIFY_X509_STRICT', () => {
  const script = `
import ssl, sys
ca, key, listing = sys.argv[1:]
client = ssl.create_default_context(cafile=ca)
client.verify_flags |= ssl.VERIFY_X509_STRICT
count = 0
for line in open(listing):
    name, file = line.rstrip("\\n").split("\\t")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file, key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake(); ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    count += 1
print(count)`
  const output = execFileSync('python3', ['-c', script, caFile, join(directory, 'key.pem'), listFile], {
    encoding: 'utf8',
  })
  assert.equal(output.trim(), '1000')
})

test('Go accepts every leaf for its own name', () => {
  const source = join(directory, 'verify.go')
  writeFileSync(
    source,
    `package main
import ("bufio"; "crypto/x509"; "encoding/pem"; "fmt"; "os"; "strings")
func main() {
	ca, _ := os.ReadFile(os.Args[1])
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) { panic("CA not read") }
	list, _ := os.Open(os.Args[2])
	count := 0
	for lines := bufio.NewScanner(list); lines.Scan(); count++ {
		name, file, _ := strings.Cut(lines.Text(), "\\t")
		text, _ := os.ReadFile(file)
		block, _ := pem.Decode(text)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil { panic(err) }
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil { panic(name + err.Error()) }
	}
	fmt.Println(count)
}`,
  )
  const go = spawnSync('go', ['run', source, caFile, listFile], {
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${process.env.PATH}:/usr/local/go/bin`,
      GOPROXY: 'off',
      GOTOOLCHAIN: 'local',
      GOFLAGS: '',
    },
  })
  assert.equal(go.stdout.trim(), '1000', go.stderr)
})

test("a leaf of one gateway's CA is refused by whoever trusts another's", () => {
  // T92
  const otherFile = join(directory, 'other.pem')
  writeFileSync(otherFile, other.certificatePem)
  const file = leaves[20]?.file ?? ''
  const openssl = spawnSync('openssl', ['verify', '-CAfile', otherFile, file], { encoding: 'utf8' })
  assert.notEqual(openssl.status, 0)
  assert.match(openssl.stderr, /unable to get local issuer certificate/)
  const leaf = new X509Certificate(leaves[20]?.pem ?? '')
  assert.equal(leaf.verify(new X509Certificate(other.certificatePem).publicKey), false)
})

test('a leaf cannot sign another certificate, not even for itself', () => {
  const leaf = new X509Certificate(leaves[20]?.pem ?? '')
  assert.equal(leaf.ca, false)
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1']) // EKU: serverAuth alone
})

function nameOfLength(length: number): string {
  const labels = [] as string[]
  for (let left = length; left > 0; left -= 1 + (labels.at(-1)?.length ?? 0)) {
    const size = left === 65 ? 62 : Math.min(left, 63) // 65 would leave a lone dot
    labels.push(`${'a_b-c'.repeat(13).slice(0, size - 1)}z`)
  }
  return labels.join('.')
}
