/**
 * Which model a JSON body names, found in one pass over its bytes: nothing is kept but the depth and one short text, no
 * object is made of what an agent sent, and no byte is looked at twice.
 *
 * The whole body is checked (RFC 8259, UTF-8), because what two parsers could read in two ways is refused (T44): a
 * second `model` in the same object, also in other case or written with escapes, and bytes behind the object.
 */
import { modelName } from './json.ts'

/** What a request says of its model: a name, or why it says none. */
export type SaidModel = string | { readonly unreadable: string }

export type ModelScanner = {
  /** The next bytes of the body, `chunk[from, to)`, cut anywhere; not kept. Never throws. */
  readonly push: (chunk: Buffer, from: number, to: number) => void
  /** After the last byte. */
  readonly end: () => SaidModel
}

/** A scanner for one body. Fuzzed against JSON.parse by test/fuzz/body-model.ts. */
export function createModelScanner(): ModelScanner {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  /** For each open container: is it an object? */
  const objects: boolean[] = []
  let state = START
  let problem: string | null = null
  /** The string that is read stands for a name; its bytes are kept in `text`, as latin1 and with their escapes. */
  let isName = false
  let keeps = false
  let text = ''
  let hexLeft = 0
  let valueIsModel = false
  let named = false
  let model: string | null = null

  function refuse(reason: string): void {
    problem ??= reason
  }

  function openString(name: boolean): void {
    isName = name
    keeps = objects.length === 1 && (name || valueIsModel)
    text = ''
    state = STRING
  }

  function endString(): void {
    state = isName ? COLON : AFTER
    if (!keeps) return
    if (isName) endTopLevelName()
    else model = decoded(text)
    if (!isName && model === null) refuse('"model" is no name of 1 to 256 characters without control characters')
    if (!isName) valueIsModel = false
  }

  function endTopLevelName(): void {
    if (!PLAIN_NAME.test(text)) return refuse('a name in it has escapes or is not ASCII')
    if (text.toLowerCase() !== 'model') return
    if (named) refuse('it has "model" twice')
    else if (text !== 'model') refuse('it has "model" in another case')
    named = valueIsModel = true
  }

  function open(object: boolean): void {
    if (objects.length === DEPTH) refuse(`it is nested more than ${DEPTH} levels deep`)
    objects.push(object)
    state = object ? NAME_OR_END : VALUE_OR_END
  }

  function close(object: boolean): void {
    if (objects.pop() !== object) refuse(NO_JSON)
    state = objects.length === 0 ? DONE : AFTER
  }

  /** The byte with which a value begins. */
  function value(byte: number): void {
    if (valueIsModel && objects.length === 1 && byte !== QUOTE) refuse('"model" is not a string')
    if (byte === QUOTE) return openString(false)
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) return open(byte === OPEN_OBJECT)
    text = String.fromCharCode(byte)
    state = WORD
  }

  /** A byte outside of strings and words that is no white space. */
  function structure(byte: number): void {
    if (state === START) return byte === OPEN_OBJECT ? open(true) : refuse('it is no JSON object')
    if (state === VALUE_OR_END && byte === CLOSE_ARRAY) return close(false)
    if (state === VALUE || state === VALUE_OR_END) return value(byte)
    if (state === NAME_OR_END && byte === CLOSE_OBJECT) return close(true)
    if ((state === NAME || state === NAME_OR_END) && byte === QUOTE) return openString(true)
    if (state === COLON && byte === COLON_BYTE) state = VALUE
    else if (state === AFTER && byte === COMMA) state = objects.at(-1) ? NAME : VALUE
    else if (state === AFTER && (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY)) close(byte === CLOSE_OBJECT)
    else refuse(NO_JSON)
  }

  /** Takes the part of a string up to its next special byte; returns the offset behind that byte. */
  function inString(chunk: Buffer, from: number, to: number): number {
    let at = from
    while (at < to && PLAIN[chunk[at] ?? 0] === 1) at++
    if (keeps) text += chunk.toString('latin1', from, at)
    if (text.length > TEXT) refuse('a name in it is too long')
    if (at === to) return at
    const byte = chunk[at]
    if (byte === QUOTE) endString()
    else if (byte === BACKSLASH) state = ESCAPE
    else refuse(NO_JSON)
    if (byte === BACKSLASH && keeps) text += '\\'
    return at + 1
  }

  function escaped(byte: number): void {
    const character = String.fromCharCode(byte)
    if (keeps) text += character
    if (hexLeft > 0) {
      if (!HEX.test(character)) refuse(NO_JSON)
      hexLeft--
    } else if (character === 'u') hexLeft = 4
    else if (!ESCAPED.includes(character)) refuse(NO_JSON)
    if (hexLeft === 0) state = STRING
  }

  /** Takes the part of a number or literal up to its end; returns the offset of the byte behind it. */
  function inWord(chunk: Buffer, from: number, to: number): number {
    let at = from
    while (at < to && WORD_BYTE[chunk[at] ?? 0] === 1) at++
    text += chunk.toString('latin1', from, at)
    if (text.length > TEXT) refuse('a number in it is too long')
    if (at === to) return at
    if (!WORDS.test(text)) refuse(NO_JSON)
    state = AFTER
    return at
  }

  function push(chunk: Buffer, from: number, to: number): void {
    if (problem !== null) return
    try {
      utf8.decode(chunk.subarray(from, to), STREAM)
    } catch {
      return refuse('it is not UTF-8')
    }
    for (let at = from; at < to && problem === null; ) {
      if (state === STRING || state === WORD) {
        at = state === STRING ? inString(chunk, at, to) : inWord(chunk, at, to)
        continue
      }
      const byte = chunk[at++] ?? 0
      if (state === ESCAPE) escaped(byte)
      else if (byte !== SP && byte !== LF && byte !== CR && byte !== TAB) structure(byte)
    }
  }

  return {
    push,
    end: () => {
      if (problem !== null) return { unreadable: problem }
      if (state === START) return { unreadable: 'it is empty' }
      if (state !== DONE) return { unreadable: NO_JSON }
      return model ?? { unreadable: 'it has no "model"' }
    },
  }
}

/** The string between two quotes. Control characters could end it early for somebody. */
function decoded(latin1: string): string | null {
  const text = modelName(JSON.parse(`"${Buffer.from(latin1, 'latin1').toString('utf8')}"`))
  return text?.isWellFormed() && !CONTROL.test(text) ? text : null
}

const NO_JSON = 'it is not well-formed JSON'
const STREAM = { stream: true }
/** Tools' schemas stand some twenty deep. */
const DEPTH = 512
/** Characters of a name, a number or a model with its escapes. */
const TEXT = 2_048
const PLAIN_NAME = /^[\x20-\x5b\x5d-\x7e]*$/
const WORD_BYTE = Uint8Array.from({ length: 256 }, (_, code) =>
  /[-+.0-9a-zA-Z]/.test(String.fromCharCode(code)) ? 1 : 0,
)
const WORDS = /^(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)$/
/** The bytes of a string that stand for themselves. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, code) => (code >= 0x20 && code !== 0x22 && code !== 0x5c ? 1 : 0))
const HEX = /[0-9a-fA-F]/
const ESCAPED = '"\\/bfnrt'
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

const START = 0
const VALUE = 1
const VALUE_OR_END = 2
const NAME = 3
const NAME_OR_END = 4
const COLON = 5
const AFTER = 6
const STRING = 7
const ESCAPE = 8
const WORD = 9
const DONE = 10

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SP = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const COLON_BYTE = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
