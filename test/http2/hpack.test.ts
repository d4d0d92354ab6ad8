/** HPACK: the examples of RFC 7541, what it calls an error, and the bound on what a small block may become. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHpackDecoder, type HpackDecoder } from '../../src/http2/hpack-decode.ts'
import { encodeFields, NO_TABLE } from '../../src/http2/hpack-encode.ts'
import { LIMITS } from '../../src/limits.ts'

const GET = ':method GET|:scheme http|:path /|:authority www.example.com'
const FIRST = ':status 302|cache-control private|date Mon, 21 Oct 2013 20:13:21 GMT|location https://www.example.com'
const THIRD = [
  ':status 200|cache-control private|date Mon, 21 Oct 2013 20:13:22 GMT|location https://www.example.com',
  'content-encoding gzip|set-cookie foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
].join('|')
/** A dynamic table of 256 bytes, as in C.5 and C.6. */
const SMALL_TABLE = '3fe101'

for (const [section, ...blocks] of [
  ['C.2.1', ['400a637573746f6d2d6b65790d637573746f6d2d686561646572', 'custom-key custom-header']],
  ['C.2.2', ['040c2f73616d706c652f70617468', ':path /sample/path']],
  ['C.2.3', ['100870617373776f726406736563726574', 'password secret']],
  ['C.2.4', ['82', ':method GET']],
  [
    'C.3',
    ['828684410f7777772e6578616d706c652e636f6d', GET],
    ['828684be58086e6f2d6361636865', `${GET}|cache-control no-cache`],
    [
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
      ':method GET|:scheme https|:path /index.html|:authority www.example.com|custom-key custom-value',
    ],
  ],
  [
    'C.4',
    ['828684418cf1e3c2e5f23a6ba0ab90f4ff', GET],
    ['828684be5886a8eb10649cbf', `${GET}|cache-control no-cache`],
    [
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
      ':method GET|:scheme https|:path /index.html|:authority www.example.com|custom-key custom-value',
    ],
  ],
  [
    'C.5',
    [
      `${SMALL_TABLE}4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d`,
      FIRST,
    ],
    ['4803333037c1c0bf', FIRST.replace('302', '307')],
    [
      '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
      THIRD,
    ],
  ],
  [
    'C.6',
    [
      `${SMALL_TABLE}488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3`,
      FIRST,
    ],
    ['4883640effc1c0bf', FIRST.replace('302', '307')],
    [
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
      THIRD,
    ],
  ],
] as const) {
  test(`the example ${section} of RFC 7541`, () => {
    const decoder = createHpackDecoder()
    for (const [hex, expected] of blocks) assert.equal(read(decoder, hex), expected)
  })
}

for (const [what, hex] of [
  ['index 0', '80'],
  ['an index past the tables', 'be'],
  ['a name of an index past the tables', '7e0161'],
  ['a number that goes on without end', 'ffffffffffffff00'],
  ['a number that is cut off', 'ff80'],
  ['a string that is cut off', '0003616200'],
  ['a string without a length', '0001610361'],
  ['no value', '000161'],
  ['a table larger than was allowed', '3fe21f'],
  ['a change of the table behind a field', '823f01'],
  ['EOS', '000084ffffffff0161'],
  ['a code that is cut off by zeros', '0000811800'],
  ['padding of eight bits', '0000821fff0161'],
  ['padding that is not all ones', '0000811e0161'],
] as const) {
  test(`a compression error: ${what}`, () => assert.equal(read(createHpackDecoder(), hex), null))
}

test('the table is kept in step with a block that is cut off for its size', () => {
  const decoder = createHpackDecoder()
  const large = `40016101${'62'}${'be'.repeat(LIMITS.headBytes / 32)}`
  const cut = decoder.decode(Buffer.from(large, 'hex'), 0, large.length / 2)
  assert.equal(cut?.cut, 'fields')
  assert.ok((cut?.fields.length ?? 0) <= 2 * (LIMITS.headerFields + 4))
  assert.equal(read(decoder, 'be'), 'a b')
})

test('a block that becomes a thousand times as large is cut off at the limit of a head', () => {
  const decoder = createHpackDecoder()
  const value = Buffer.alloc(4_000, 'v')
  const bomb = Buffer.concat([
    Buffer.from('400161', 'hex'),
    Buffer.from('7fa11e', 'hex'),
    value,
    Buffer.alloc(20_000, 0xbe),
  ])
  const list = decoder.decode(bomb, 0, bomb.length)
  assert.equal(list?.cut, 'bytes')
  assert.ok(list.fields.join('').length <= LIMITS.headBytes)
})

test('what is encoded is decoded to the same, leaves nothing in a table, and says so at first', () => {
  const decoder = createHpackDecoder()
  const fields = [':status', '200', ':status', '299', 'content-type', 'a/b', 'x-y', '', 'x-z', '\xff'.repeat(20_000)]
  const block = Buffer.from(NO_TABLE + encodeFields(fields), 'latin1')
  assert.deepEqual(decoder.decode(block, 0, block.length)?.fields, fields)
  assert.equal(read(decoder, 'be'), null)
})

function read(decoder: HpackDecoder, hex: string): string | null {
  const bytes = Buffer.from(hex, 'hex')
  const list = decoder.decode(bytes, 0, bytes.length)
  if (list === null) return null
  assert.equal(list.cut, null)
  return list.fields.flatMap((name, at) => (at % 2 === 0 ? [`${name} ${list.fields[at + 1]}`] : [])).join('|')
}
