import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, encode } from 'dns-packet'
import { answerQuery, type NameAnswer } from '../../src/dns/responder.ts'

const ADDRESS = { ipv4: '198.18.1.0', ipv6: 'fd00:5a::1:0' }
const lookUp = async (name: string): Promise<NameAnswer> => {
  if (name.toLowerCase() === 'api.example') return ADDRESS
  return name === 'full.example' ? 'full' : null
}

function query(type: 'A' | 'AAAA' | 'HTTPS' | 'TXT', name: string, edns = false): Buffer {
  return encode({
    type: 'query',
    id: 4711,
    flags: 0x0100,
    questions: [{ type: type as 'A', name }],
    additionals: edns
      ? [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: 1232,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ]
      : [],
  })
}

async function ask(message: Buffer) {
  const reply = await answerQuery(message, lookUp)
  assert.ok(reply !== null)
  const packet = decode(reply)
  return { packet, rcode: reply.readUInt16BE(2) & 15, id: reply.readUInt16BE(0) }
}

test('A and AAAA get the virtual address, with the question as it was asked', async () => {
  const { packet, rcode, id } = await ask(query('A', 'aPi.ExAmPlE', true))
  assert.equal(rcode, 0)
  assert.equal(id, 4711)
  assert.equal(packet.questions?.[0]?.name, 'aPi.ExAmPlE')
  assert.deepEqual(
    packet.answers?.map(a => 'data' in a && a.data),
    ['198.18.1.0'],
  )
  assert.equal(packet.additionals?.[0]?.type, 'OPT')
  assert.deepEqual(
    (await ask(query('AAAA', 'api.example'))).packet.answers?.map(a => 'data' in a && a.data),
    ['fd00:5a::1:0'],
  )
})

test('other types of a known name are empty, not absent: no ECH keys, no HTTP/3 hints (T21)', async () => {
  for (const type of ['HTTPS', 'TXT'] as const) {
    const { packet, rcode } = await ask(query(type, 'api.example'))
    assert.equal(rcode, 0)
    assert.equal(packet.answers?.length, 0)
  }
})

test('an unknown name is NXDOMAIN, a full table SERVFAIL', async () => {
  assert.equal((await ask(query('A', 'intranet'))).rcode, 3)
  assert.equal((await ask(query('A', 'full.example'))).rcode, 2)
})

test('what is no query gets no answer or an error, and never throws', async () => {
  assert.equal(await answerQuery(Buffer.alloc(3), lookUp), null)
  const response = query('A', 'api.example')
  response.writeUInt16BE(0x8180, 2)
  assert.equal(await answerQuery(response, lookUp), null)
  const update = query('A', 'api.example')
  update.writeUInt16BE(0x2800, 2)
  assert.equal((await answerQuery(update, lookUp))?.readUInt16BE(2), 0xa884)
  const two = encode({
    type: 'query',
    id: 1,
    questions: [
      { type: 'A', name: 'api.example' },
      { type: 'A', name: 'b.example' },
    ],
  })
  assert.equal((await ask(two)).rcode, 1)
  const whole = query('A', 'api.example', true)
  for (let length = 0; length < whole.length; length++) await answerQuery(whole.subarray(0, length), lookUp)
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0x00, 0xc0, 0xff]) {
      const bent = Buffer.from(whole)
      bent[at] = value
      await answerQuery(bent, lookUp)
    }
  }
})
