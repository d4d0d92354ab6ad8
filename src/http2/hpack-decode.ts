/**
 * Decoder of header blocks (HPACK, RFC 7541). A block is read to its end whatever it says, since the dynamic table must
 * stay in step with the other side's; what is kept of it is bounded. Never throws. Fuzzed by test/fuzz/hpack.ts.
 */
import { LIMITS } from '../limits.ts'
import { createDynamicTable, type Entry, STATIC, sizeOf, TABLE_BYTES } from './hpack-tables.ts'
import { decodeHuffman } from './huffman.ts'

export type FieldList = {
  /** Names and values by turns, bytes as latin1, as they came. */
  readonly fields: readonly string[]
  /** `fields` is not all: the list has more than `LIMITS.headBytes` (32 for each field counted) or `LIMITS.headerFields`. */
  readonly cut: 'bytes' | 'fields' | null
}

export type HpackDecoder = {
  /** Reads `bytes[from, to)`, a whole block. Null: COMPRESSION_ERROR, and the connection cannot go on. */
  readonly decode: (bytes: Buffer, from: number, to: number) => FieldList | null
}

export function createHpackDecoder(): HpackDecoder {
  const table = createDynamicTable()
  let bytes: Buffer = NOTHING
  let at = 0
  let end = 0
  let bad = false

  /** §5.1; a number that nothing here can need is an error. */
  function integer(prefix: number): number {
    const most = (1 << prefix) - 1
    let value = (bytes[at++] ?? 0) & most
    if (value < most) return value
    for (let shift = 0; shift <= MOST_SHIFT; shift += 7) {
      if (at >= end) break
      const byte = bytes[at++] ?? 0
      value += (byte & 127) << shift
      if (byte < 128) return value
    }
    bad = true
    return 0
  }

  /** §5.2 */
  function text(): string {
    const huffman = ((bytes[at] ?? 0) & 128) !== 0
    if (at >= end) bad = true
    const length = integer(7)
    const from = at
    at += length
    if (at > end) bad = true
    if (bad) return ''
    if (!huffman) return bytes.toString('latin1', from, at)
    const room = Math.ceil((length * 8) / 5)
    if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room)
    const written = decodeHuffman(bytes, from, at, scratch)
    if (written < 0) bad = true
    return written <= 0 ? '' : scratch.toString('latin1', 0, written)
  }

  function entry(index: number): Entry {
    const found = index <= STATIC.length ? STATIC[index - 1] : table.at(index - STATIC.length - 1)
    if (found === undefined) bad = true
    return found ?? NO_ENTRY
  }

  /** One field, or a change of the table's size (null). */
  function next(first: boolean): Entry | null {
    const byte = bytes[at] ?? 0
    if (byte >= 0x80) return entry(integer(7))
    if ((byte & 0xe0) === 0x20) {
      const size = integer(5)
      if (!first || size > TABLE_BYTES) bad = true
      else table.resize(size)
      return null
    }
    const indexed = byte >= 0x40
    const index = integer(indexed ? 6 : 4)
    const name = index === 0 ? text() : entry(index).name
    const field = { name, value: text() }
    if (indexed && !bad) table.add(field)
    return field
  }

  return {
    decode: (block, from, to) => {
      const fields: string[] = []
      let size = 0
      let cut: FieldList['cut'] = null
      let first = true
      bytes = block
      at = from
      end = to
      bad = false
      while (at < end) {
        const field = next(first)
        if (bad) break
        if (field === null) continue
        first = false
        size += sizeOf(field)
        if (size > LIMITS.headBytes) cut ??= 'bytes'
        else if (fields.length === 2 * MOST_FIELDS) cut ??= 'fields'
        if (cut === null) fields.push(field.name, field.value)
      }
      bytes = NOTHING
      return bad ? null : { fields, cut }
    },
  }
}

/** What `LIMITS.headerFields` allows, and the pseudo-header fields. */
const MOST_FIELDS = LIMITS.headerFields + 4
/** Numbers of up to 28 bits behind the prefix. */
const MOST_SHIFT = 21
const NO_ENTRY: Entry = { name: '', value: '' }
const NOTHING = Buffer.alloc(0)
/** Grown as needed, by what a block may have at most. */
let scratch = Buffer.allocUnsafeSlow(1_024)
