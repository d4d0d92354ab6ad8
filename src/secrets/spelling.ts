/**
 * How one character may be spelled in what an API sends: as it is, `%2B`, `\/`, `\u002b`, `\x2b`, `&#43;`, `&#x2B;`,
 * `&plus;`, and one of these inside another (`%252B`, `\\u002b`, `\u0026#43;`), up to `SPELLING_BYTES` bytes. Pure.
 */

/** What begins in these bytes fits as far as it goes. */
export const CUT = -2
export const NONE = -1

/** No spelling is longer; what would be is not looked for. */
export const SPELLING_BYTES = 12

/** 1 for `%`, `\` and `&`: what begins a spelling of more than one byte. */
export const INTRODUCER = new Uint8Array(256)

/**
 * Where the character at `at` ends if it is `one` or `other`; NONE, CUT. `skip`: that many fitting readings are passed
 * over (a wanted `%` in `%2525` may end after one, three or five bytes).
 */
export function spelled(bytes: Uint8Array, at: number, one: number, other: number, skip = 0): number {
  const byte = bytes[at]
  if (byte === undefined) return CUT
  let passed = 0
  if ((byte === one || byte === other) && passed++ === skip) return at + 1
  let introducer = byte
  let from = at + 1
  while (INTRODUCER[introducer] === 1) {
    const code = escaped(bytes, introducer, from)
    if (code < 0) return code
    from = escapeEnd
    if (from - at > SPELLING_BYTES) return NONE
    if ((code === one || code === other) && passed++ === skip) return from
    introducer = code
  }
  return NONE
}

/** Does what begins at `at` spell, or may it go on to spell, a character of `wanted` (1 for each) in several bytes? */
export function spellsOneOf(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  let introducer = bytes[at] ?? 0
  let from = at + 1
  while (INTRODUCER[introducer] === 1) {
    const code = escaped(bytes, introducer, from)
    if (code === CUT) return true
    if (code === NONE || escapeEnd - at > SPELLING_BYTES) return false
    if (wanted[code] === 1) return true
    introducer = code
    from = escapeEnd
  }
  return false
}

/** Where the last escape that `escaped` read ends. */
let escapeEnd = 0

/** The code of the escape whose introducer stands before `from`. */
function escaped(bytes: Uint8Array, introducer: number, from: number): number {
  if (introducer === PERCENT) return hexadecimal(bytes, from, 2)
  const byte = bytes[from]
  if (byte === undefined) return CUT
  if (introducer === AMPERSAND) return entity(bytes, from)
  if (byte === LETTER_U || byte === LETTER_X) return hexadecimal(bytes, from + 1, byte === LETTER_U ? 4 : 2)
  escapeEnd = from + 1
  return PUNCTUATION[byte] === 1 ? byte : NONE
}

/** `count` digits; NONE for more than one byte says. */
function hexadecimal(bytes: Uint8Array, from: number, count: number): number {
  let code = 0
  for (let at = from; at < from + count; at++) {
    const byte = bytes[at]
    if (byte === undefined) return CUT
    const digit = DIGIT[byte] ?? NOT_A_DIGIT
    if (digit === NOT_A_DIGIT) return NONE
    code = code * 16 + digit
  }
  escapeEnd = from + count
  return code < 256 ? code : NONE
}

function entity(bytes: Uint8Array, from: number): number {
  const numeric = bytes[from] === HASH
  const isHexadecimal = numeric && ((bytes[from + 1] ?? 0) | CASE) === LETTER_X
  const base = isHexadecimal ? 16 : 10
  const first = numeric ? from + (isHexadecimal ? 2 : 1) : from
  let code = 0
  let name = ''
  for (let at = first; at < from + ENTITY_BYTES; at++) {
    const byte = bytes[at]
    if (byte === undefined) return CUT
    if (byte === SEMICOLON) {
      escapeEnd = at + 1
      if (!numeric) return NAMED[name] ?? NONE
      return at > first && code < 256 ? code : NONE
    }
    if (numeric) {
      const digit = DIGIT[byte] ?? NOT_A_DIGIT
      if (digit >= base) return NONE
      code = code * base + digit
    } else {
      if ((byte | CASE) < LETTER_A || (byte | CASE) > LETTER_Z) return NONE
      name += String.fromCharCode(byte)
    }
  }
  return NONE
}

const PERCENT = 0x25
const AMPERSAND = 0x26
const SEMICOLON = 0x3b
const HASH = 0x23
const CASE = 0x20
const LETTER_A = 0x61
const LETTER_Z = 0x7a
const LETTER_U = 0x75
const LETTER_X = 0x78
for (const introducer of '%\\&') INTRODUCER[introducer.charCodeAt(0)] = 1
const NOT_A_DIGIT = 255
const DIGIT = Uint8Array.from({ length: 256 }, (_, code) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase())
  return digit < 0 ? NOT_A_DIGIT : digit
})
/** What a backslash may stand before without meaning something else. */
const PUNCTUATION = Uint8Array.from({ length: 256 }, (_, code) =>
  /[!-/:-@[-`{-~]/.test(String.fromCharCode(code)) ? 1 : 0,
)
const ENTITY_BYTES = 7
/** Those of ASCII that encoders write; without a prototype, since the key comes from outside. */
const NAMED: Readonly<Record<string, number>> = Object.assign(Object.create(null), {
  ...{ amp: 0x26, lt: 0x3c, gt: 0x3e, quot: 0x22, apos: 0x27 },
  ...{ plus: 0x2b, sol: 0x2f, bsol: 0x5c, equals: 0x3d, colon: 0x3a, period: 0x2e, lowbar: 0x5f, hyphen: 0x2d },
})
