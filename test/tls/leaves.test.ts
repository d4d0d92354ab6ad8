import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { LIMITS } from '../../src/limits.ts'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import { leafEnd, mintLeaf } from '../../src/pki/leaf.ts'
import type { SignedLeaf } from '../../src/shard/protocol.ts'
import { createLeafCache, createLeafKey, terminateTls } from '../../src/tls/terminate.ts'

const directory = mkdtempSync(join(tmpdir(), 'clrk-leaves-'))
const authority = loadOrCreateAuthority(directory, 'default/leaves')
const key = createLeafKey()
const asked: string[] = []
const sign = async (_gateway: string, name: string): Promise<SignedLeaf> => {
  asked.push(name)
  const now = Date.now()
  return { certificate: mintLeaf(authority, name, key.publicKey, now), notAfter: leafEnd(authority, now) }
}
const leaves = createLeafCache(key, sign)
let next = ''
const terminated: Promise<TLSSocket>[] = []
const server = createServer({ pauseOnConnect: true }, async (socket: Socket) => {
  const leaf = await leaves.get('default/leaves', next)
  const secured = terminateTls(socket, Buffer.alloc(0), leaf.context())
  secured.catch(() => {}) // a client that leaves at once
  terminated.push(secured)
})

before(() => once(server.listen(0, '127.0.0.1'), 'listening'))
after(() => {
  server.close()
  rmSync(directory, { recursive: true, force: true })
})

/** Rejects unless the certificate that comes is one for `name`, by the CA. */
async function connectTo(name: string): Promise<TLSSocket> {
  next = name
  const { port } = server.address() as AddressInfo
  const socket = connect({ port, host: '127.0.0.1', servername: name, ca: authority.certificatePem })
  await once(socket, 'secureConnect')
  return socket
}

test('each of more names than there are contexts gets its own certificate, and open connections stay open', async t => {
  const open: TLSSocket[] = []
  t.after(() => {
    for (const socket of open) socket.destroy()
  })
  const names = Array.from({ length: LIMITS.tlsContexts + 8 }, (_, n) => `h${n}.example.com`)
  for (const name of [...names, ...names.slice(0, 8), ...names]) open.push(await connectTo(name))
  assert.equal(asked.length, names.length, 'one certificate for each name')

  const sides = await Promise.all(terminated)
  for (const [at, socket] of open.entries()) {
    socket.write(`hello ${at}`)
    const [heard] = await once(sides[at]?.resume() ?? socket, 'data')
    assert.equal(`${heard}`, `hello ${at}`)
  }
  assert.equal(
    new X509Certificate(open[0]?.getPeerX509Certificate()?.raw ?? '').checkHost('h0.example.com'),
    'h0.example.com',
  )
})

test('no session is resumed: none outlives the decision about its connection', async () => {
  const first = await connectTo('resume.example.com')
  const sessions: Buffer[] = []
  first.on('session', session => sessions.push(session))
  const served = await terminated.at(-1)
  served?.end('x')
  await once(first.resume(), 'close')

  next = 'resume.example.com'
  const { port } = server.address() as AddressInfo
  const session = sessions.at(-1)
  const options = { port, host: '127.0.0.1', servername: next, ca: authority.certificatePem }
  const second = connect(session === undefined ? options : { ...options, session })
  await once(second, 'secureConnect')
  assert.equal(second.isSessionReused(), false)
  second.destroy()
})

test('one certificate is signed however many connections ask for it at once, and another when it ends', async () => {
  const ends = [Date.now() - 1, Date.now() + 60_000]
  let signed = 0
  const cache = createLeafCache(key, async (gateway, name) => {
    const leaf = await sign(gateway, name)
    return { ...leaf, notAfter: ends[signed++] ?? 0 }
  })
  await Promise.all(Array.from({ length: 50 }, () => cache.get('g', 'a.example.com')))
  assert.equal(signed, 1)
  assert.equal(cache.has('g', 'a.example.com'), false, 'it has ended')
  await cache.get('g', 'a.example.com')
  await cache.get('g', 'a.example.com')
  assert.equal(signed, 2)
  cache.forget('g')
  assert.equal(cache.has('g', 'a.example.com'), false)
})

test('a gateway never gets the certificate of another', async () => {
  const other = loadOrCreateAuthority(directory, 'default/other')
  const cache = createLeafCache(key, async (gateway, name) => {
    const by = gateway === 'default/other' ? other : authority
    return { certificate: mintLeaf(by, name, key.publicKey, Date.now()), notAfter: Date.now() + 60_000 }
  })
  const contexts = await Promise.all(['default/leaves', 'default/other'].map(id => cache.get(id, 'a.example.com')))
  const served = contexts.map(leaf => new X509Certificate(leaf.context().context.getCertificate()).issuer)
  assert.deepEqual(
    served,
    ['default/leaves', 'default/other'].map(id => `O=clrk\nCN=clrk EgressGateway ${id}`),
  )
})

test('a certificate that OpenSSL refuses costs its own connection alone', async () => {
  const cache = createLeafCache(key, async (gateway, name) =>
    name === 'bad' ? { certificate: 'nonsense', notAfter: Date.now() + 60_000 } : sign(gateway, name),
  )
  for (let n = 0; n < LIMITS.tlsContexts; n++) (await cache.get('g', `h${n}.example.com`)).context()
  const bad = await cache.get('g', 'bad')
  assert.throws(() => bad.context())
  const good = (await cache.get('g', 'good.example.com')).context()
  assert.equal(new X509Certificate(good.context.getCertificate()).checkHost('good.example.com'), 'good.example.com')
})
