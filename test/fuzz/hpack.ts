/** Any bytes as header blocks: no throw, lists within the limits, and what was read is encoded and read as the same. */
import assert from 'node:assert/strict'
import { createHpackDecoder } from '../../src/http2/hpack-decode.ts'
import { encodeFields } from '../../src/http2/hpack-encode.ts'
import { LIMITS } from '../../src/limits.ts'

export const target = {
  name: 'hpack',
  seeds: [
    '828684410f7777772e6578616d706c652e636f6d',
    '828684be58086e6f2d6361636865',
    '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
    '3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
    '4883640effc1c0bf',
    '100870617373776f726406736563726574',
    '400161023031bebebebe7f0000',
  ].map(hex => Buffer.from(hex, 'hex')) as readonly Buffer[],
  maximumBytes: 2_048,
  run(bytes: Buffer): void {
    const decoder = createHpackDecoder()
    const again = createHpackDecoder()
    // Of three blocks, so that what one leaves in the table is met by the next.
    for (let part = 0; part < 3; part++) {
      const [from, to] = [part, part + 1].map(cut => Math.floor((bytes.length * cut) / 3)) as [number, number]
      const list = decoder.decode(bytes, from, to)
      if (list === null) return
      const size = list.fields.reduce((sum, text) => sum + text.length, 16 * list.fields.length)
      assert.ok(size <= LIMITS.headBytes && list.fields.length <= 2 * (LIMITS.headerFields + 4))
      const block = Buffer.from(encodeFields(list.fields), 'latin1')
      assert.deepEqual(again.decode(block, 0, block.length)?.fields, list.fields)
    }
  },
}
