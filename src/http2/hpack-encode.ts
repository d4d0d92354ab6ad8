/**
 * Encoder of header blocks (HPACK, RFC 7541), as latin1 text: what the static table has whole by its number, all else as
 * literals that nobody may index (§7.1.3). Nothing goes into a dynamic table: an agent's saving would be our memory, and
 * no secret can be guessed by what compresses (§7.1).
 */
import { STATIC } from './hpack-tables.ts'

/** Names, lower case, and values by turns, no char past 0xff. */
export function encodeFields(fields: readonly string[]): string {
  let block = ''
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name = '', value = ''] = [fields[at], fields[at + 1]]
    const whole = name === ':status' ? STATUS.get(value) : undefined
    block += whole ?? `${NAMES.get(name) ?? `${LITERAL}${sized(name)}`}${sized(value)}`
  }
  return block
}

/** The first block of a connection begins with it: the other side keeps no table either (§4.2). */
export const NO_TABLE = '\x20'

/** A string literal (§5.2), as it is: coding it costs more than sending it. */
function sized(text: string): string {
  return text.length < 127 ? String.fromCharCode(text.length) + text : integer(text.length, 7) + text
}

/** §5.1; `first`: what the prefix's byte says beside it. */
function integer(value: number, prefix: number, first = 0): string {
  const most = (1 << prefix) - 1
  if (value < most) return String.fromCharCode(first | value)
  let text = String.fromCharCode(first | most)
  let rest = value - most
  for (; rest >= 128; rest >>= 7) text += String.fromCharCode((rest & 127) | 128)
  return text + String.fromCharCode(rest)
}

const NEVER_INDEXED = 0x10
const LITERAL = String.fromCharCode(NEVER_INDEXED)

/** A literal's beginning where its name is in the static table, and the statuses that are there as a whole. */
const NAMES = new Map<string, string>()
const STATUS = new Map<string, string>()
for (const [index, { name, value }] of STATIC.entries()) {
  if (name === ':status') STATUS.set(value, integer(index + 1, 7, 0x80))
  if (!NAMES.has(name)) NAMES.set(name, integer(index + 1, 4, NEVER_INDEXED))
}
