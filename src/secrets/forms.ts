/**
 * The forms in which an API may send a credential back (T79, T80), as what may stand at each place. Pure.
 *
 * Each part of a credential that is secret by itself has five: as it is, base64 at its three alignments (both alphabets),
 * hexadecimal. How single characters of a form may be spelled (percent, JSON, HTML) is for who reads (spelling.ts).
 */

/** A form, place by place: either of the two bytes may stand there (they are the same where there is no choice). */
export type Form = { readonly one: Uint8Array; readonly other: Uint8Array }

/** A shorter part is not looked for by itself: it would take ordinary text apart. */
export const PART_CHARACTERS = 8

/**
 * The forms of a header value (ASCII). Its parts: the value, what follows its scheme (`Bearer `), what a Basic credential
 * says and the password in that, and each word of 16 characters. Of parts that contain one another the inner one is
 * enough: whoever finds it finds it in every form of the outer. Empty where the value is under `PART_CHARACTERS`.
 */
export function formsOf(value: string): readonly Form[] {
  const parts = partsOf(value).filter(part => part.length >= PART_CHARACTERS)
  const inner = [...new Set(parts)].filter(part => !parts.some(other => other !== part && part.includes(other)))
  return inner.flatMap(part => {
    const bytes = Buffer.from(part, 'latin1')
    return [
      form(bytes, code => (code === SPACE ? PLUS : code)),
      ...[0, 1, 2].map(offset => form(base64Core(bytes, offset), code => URL_ALPHABET.get(code) ?? code)),
      form(Buffer.from(bytes.toString('hex')), code => (code >= LETTER_A ? code - CASE : code)),
    ]
  })
}

function partsOf(value: string): readonly string[] {
  const [, scheme = '', credential = ''] = /^([^\s]+)\s+(.+)$/.exec(value) ?? []
  const parts = [value, credential, ...value.split(/[^\w.~+/-]+/).filter(word => word.length >= WORD_CHARACTERS)]
  if (scheme.toLowerCase() === 'basic') {
    const pair = Buffer.from(credential, 'base64').toString('latin1')
    parts.push(pair, pair.slice(pair.indexOf(':') + 1))
  }
  return parts
}

function form(one: Buffer, choice: (code: number) => number): Form {
  return { one, other: one.map(choice) }
}

/** The base64 digits that `bytes` alone decides when they stand `offset` (mod 3) bytes into the encoded text. */
function base64Core(bytes: Buffer, offset: number): Buffer {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
  return Buffer.from(encoded.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6)))
}

const WORD_CHARACTERS = 16
const SPACE = 0x20
const PLUS = 0x2b
const LETTER_A = 0x61
const CASE = 0x20
/** RFC 4648 §5 */
const URL_ALPHABET: ReadonlyMap<number, number> = new Map([
  [PLUS, 0x2d],
  [0x2f, 0x5f],
])
