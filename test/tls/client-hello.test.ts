import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:net'
import test from 'node:test'
import { connect } from 'node:tls'
import { LIMITS } from '../../src/limits.ts'
import { readClientHello } from '../../src/tls/client-hello.ts'
import { clientHello, hostName, records, vector } from './hello-bytes.ts'

const ONE_RECORD = 16_384

test('reads the names that a real client sends', async () => {
  const bytes = await helloOfNode()
  assert.deepEqual(readClientHello(bytes), {
    kind: 'hello',
    serverName: 'api.anthropic.com',
    serverNameProblem: null,
    alpn: ['h2', 'http/1.1'],
    ech: false,
    offersTls12: true,
  })
})

test('a hello that is cut anywhere asks for no more than it needs', async () => {
  // T23
  for (const bytes of [await helloOfNode(), records(clientHello({}), 100), records(clientHello({}), 1)]) {
    for (let length = 0; length < bytes.length; length++) {
      const result = readClientHello(bytes.subarray(0, length))
      assert.ok(result.kind === 'more', `${length} of ${bytes.length}: ${JSON.stringify(result)}`)
      assert.ok(result.bytes > length && result.bytes <= bytes.length, `${length} → ${result.bytes} of ${bytes.length}`)
    }
    assert.equal(readClientHello(bytes).kind, 'hello')
  }
})

test('a hello in records of any size reads the same', () => {
  // T23
  const message = clientHello({ serverName: 'API.Example.com', alpn: ['http/1.1'], ech: true })
  const whole = readClientHello(records(message, ONE_RECORD))
  assert.deepEqual(whole, {
    kind: 'hello',
    serverName: 'api.example.com',
    serverNameProblem: null,
    alpn: ['http/1.1'],
    ech: true,
    offersTls12: true,
  })
  for (let size = 1; size <= message.length; size++) assert.deepEqual(readClientHello(records(message, size)), whole)
})

test('one-byte records up to the limit are read few times', () => {
  const padding = Buffer.alloc(10_000)
  const bytes = records(clientHello({ extensions: [[21, padding]] }), 1)
  assert.ok(bytes.length > 60_000 && bytes.length <= LIMITS.clientHelloBytes)
  let reads = 1
  let result = readClientHello(bytes.subarray(0, 1))
  for (; result.kind === 'more'; reads++) result = readClientHello(bytes.subarray(0, result.bytes))
  assert.equal(result.kind, 'hello')
  assert.ok(reads < 100, `${reads} reads`)
})

test('a hello past the limit is refused before it has come', () => {
  const large = clientHello({ extensions: [[21, Buffer.alloc(65_430)]] })
  assert.deepEqual(readClientHello(records(large, ONE_RECORD).subarray(0, 9)), {
    kind: 'error',
    code: 'CLRK_TLS_HELLO_TOO_LARGE',
    details: { limit: LIMITS.clientHelloBytes },
  })
  const fits = clientHello({ extensions: [[21, Buffer.alloc(15_000)]] })
  const inOneByteRecords = readClientHello(records(fits, 1).subarray(0, LIMITS.clientHelloBytes))
  assert.equal(inOneByteRecords.kind === 'error' && inOneByteRecords.code, 'CLRK_TLS_HELLO_TOO_LARGE')
})

const BAD_NAMES: Readonly<Record<string, Buffer>> = {
  'the list is malformed': Buffer.alloc(0),
  'the name is empty': vector(2, hostName('')),
  'there is more than one name': vector(2, hostName('a.test'), hostName('b.test')),
  'the name is longer than 253 bytes': vector(2, hostName(`${'a.'.repeat(126)}aa`)),
  'the name has an empty label': vector(2, hostName('a.test.')),
}

for (const [problem, serverNameData] of Object.entries(BAD_NAMES)) {
  test(`no server name: ${problem}`, () => {
    // T24
    const hello = readClientHello(records(clientHello({ serverNameData }), ONE_RECORD))
    assert.ok(hello.kind === 'hello')
    assert.equal(hello.serverName, null)
    assert.equal(hello.serverNameProblem, problem)
  })
}

test('no server name: IP literals, NUL, and bytes that no host name has', () => {
  // T13, T24
  const names = [
    '127.0.0.1',
    '0x7f.1',
    '2130706433',
    '::1',
    '[::1]',
    'a\0.test',
    'a test',
    'ä.test',
    '*.test',
    'a/b',
    '.a',
  ]
  for (const serverName of names) {
    const hello = readClientHello(records(clientHello({ serverName }), ONE_RECORD))
    assert.ok(hello.kind === 'hello', serverName)
    assert.equal(hello.serverName, null, serverName)
    assert.notEqual(hello.serverNameProblem, null, serverName)
  }
  const absent = readClientHello(records(clientHello({ serverName: null }), ONE_RECORD))
  assert.ok(absent.kind === 'hello' && absent.serverName === null && absent.serverNameProblem === null)
})

test('says whether TLS 1.2 or newer is offered', () => {
  // T48
  const offers = (versions: readonly number[] | null, legacyVersion: number) => {
    const hello = readClientHello(records(clientHello({ versions, legacyVersion }), ONE_RECORD))
    return hello.kind === 'hello' && hello.offersTls12
  }
  assert.equal(offers(null, 0x0303), true)
  assert.equal(offers(null, 0x0302), false)
  assert.equal(offers([0x0302, 0x0301], 0x0303), false)
  assert.equal(offers([0x0a0a, 0x0304], 0x0303), true)
})

test('whatever is no ClientHello is an error at once', () => {
  const message = clientHello({})
  const good = records(message, 50)
  const alert = Buffer.from([21, 3, 3, 0, 2, 1, 0])
  const cases: Readonly<Record<string, Buffer>> = {
    'not a TLS handshake': Buffer.from('GET / HTTP/1.1'),
    'not an SSL 3 or TLS record': Buffer.from([22, 2]),
    'an empty handshake record': Buffer.from([22, 3, 1, 0, 0]),
    'a record larger than TLS allows': Buffer.from([22, 3, 1, 0x40, 1]),
    'another record inside the ClientHello': Buffer.concat([good.subarray(0, 55), alert, good.subarray(55)]),
    'the first handshake message is not a ClientHello': Buffer.from([22, 3, 1, 0, 9, 2]),
    'the ClientHello is empty': records(Buffer.from([1, 0, 0, 0]), 4),
    'something follows the ClientHello in its record': records(Buffer.concat([message, Buffer.from([0])]), ONE_RECORD),
    'an extension comes twice': records(clientHello({ extensions: [[0x0a0a, Buffer.alloc(0)]] }), ONE_RECORD),
    'the protocol list (ALPN) is malformed': records(clientHello({ extensions: [[16, vector(2)]] }), ONE_RECORD),
    'the cipher list is malformed': records(Buffer.from([1, 0, 0, 40, ...Buffer.alloc(40)]), ONE_RECORD),
  }
  for (const [reason, bytes] of Object.entries(cases)) {
    assert.deepEqual(readClientHello(bytes), { kind: 'error', code: 'CLRK_TLS_NOT_A_HELLO', details: { reason } })
  }
})

/** What Node's OpenSSL sends first. */
async function helloOfNode(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const servername = 'api.anthropic.com'
  const client = connect({ port, host: '127.0.0.1', servername, ALPNProtocols: ['h2', 'http/1.1'] })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  client.destroy()
  server.close()
  return bytes
}
