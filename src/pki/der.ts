/**
 * DER (X.690 §8, §10): values as their bytes, tag, length, contents. What certificates need, no more. Bytes are the
 * characters of a string (latin1), because V8 joins strings far cheaper than buffers.
 */

export type Der = string

export const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OBJECT_IDENTIFIER: 0x06,
  UTF8_STRING: 0x0c,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
  /** Or'ed with a number and, around other values, with CONSTRUCTED. */
  CONTEXT: 0x80,
  CONSTRUCTED: 0x20,
} as const

/** One value of at most 65,535 bytes. */
export function der(tag: number, contents: string): Der {
  const { length } = contents
  if (length < 0x80) return String.fromCharCode(tag, length) + contents
  if (length < 0x100) return String.fromCharCode(tag, 0x81, length) + contents
  if (length > 0xffff) throw new RangeError(`a DER value of ${length} bytes`)
  return String.fromCharCode(tag, 0x82, length >> 8, length & 0xff) + contents
}

export function sequence(contents: string): Der {
  return der(Tag.SEQUENCE, contents)
}

/** Whole bytes: no unused bits at the end. */
export function bitString(bytes: string): Der {
  return der(Tag.BIT_STRING, `\x00${bytes}`)
}

/** `oid` with dots; X.690 §8.19: base 128, the first two numbers in one. */
export function objectId(oid: string): Der {
  const [first = 0, second = 0, ...rest] = oid.split('.').map(Number)
  const bytes: number[] = []
  for (const number of [40 * first + second, ...rest]) {
    const groups = [number & 0x7f]
    for (let left = number >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return der(Tag.OBJECT_IDENTIFIER, String.fromCharCode(...bytes))
}

export const TRUE = der(Tag.BOOLEAN, '\xff')
