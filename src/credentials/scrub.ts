/**
 * Takes credentials out of a stream of bytes, in every form and spelling (src/secrets/forms.ts, spelling.ts), however it
 * is cut. Pure. The length stays: each byte of an echo becomes a byte of `PLACEHOLDER`, then `*`, so that lengths, frames
 * and framing that were said before stay true.
 *
 * What cannot hold an echo is passed over in strides: an echo is at least a stride long, so one place in each is looked at.
 * Held back is only what may be the beginning of an echo and has at least `HELD_CHARACTERS` characters of it; shorter
 * beginnings go out, so that a message which ends like one begins is not kept from an agent that waits for it.
 * Fuzzed by test/fuzz/scrub.ts.
 */
import { PLACEHOLDER } from '../providers/provider.ts'
import { type Form, formsOf } from '../secrets/forms.ts'
import { CUT, INTRODUCER, NONE, SPELLING_BYTES, spelled, spellsOneOf } from '../secrets/spelling.ts'

export type Wanted = { readonly name: string; readonly value: string }

type NamedForm = Form & { readonly name: string }

/** What to look for, made once for many streams. */
export type Search = {
  readonly stride: number
  /** 1 at the hash of three characters in a row that begin within the first `stride` of a form. */
  readonly triples: Uint8Array
  /** For each byte the forms of which it may be the first one. */
  readonly starts: readonly (readonly NamedForm[] | undefined)[]
  /** 1 for every character of a form. */
  readonly characters: Uint8Array
  /** 1 for every byte that may stand in a spelling of one. */
  readonly inEcho: Uint8Array
}

/** The same bytes as what is pushed, less what is held back, without echoes. What has nothing in it is not copied. */
export type Scrubber = {
  readonly push: (chunk: Buffer) => Buffer
  /** What was held back. The next push begins another stream. */
  readonly end: () => Buffer
}

export function createSearch(wanted: readonly Wanted[]): Search {
  const forms = wanted.flatMap(({ name, value }) => formsOf(value).map(form => ({ ...form, name })))
  const stride = Math.min(STRIDE_BYTES, ...forms.map(({ one }) => one.length - 2))
  const triples = new Uint8Array(HASHES)
  const starts = Array.from({ length: 256 }, (_, byte) => {
    const begun = forms.filter(({ one, other }) => INTRODUCER[byte] === 1 || one[0] === byte || other[0] === byte)
    return begun.length === 0 ? undefined : begun
  })
  const characters = new Uint8Array(256)
  for (const { one, other } of forms) {
    const at = (index: number) => [one[index] ?? 0, other[index] ?? 0]
    for (const code of [...one, ...other]) characters[code] = 1
    for (let index = 0; index < stride; index++) {
      for (const a of at(index)) {
        for (const b of at(index + 1)) for (const c of at(index + 2)) triples[hash(a, b, c)] = 1
      }
    }
  }
  const inEcho = Uint8Array.from(characters, (is, code) => is | (IN_SPELLING.test(String.fromCharCode(code)) ? 1 : 0))
  return { stride, triples, starts, characters, inEcho }
}

/** `found` is told the name of what was taken out; more than once where an echo was found in pieces. */
export function createScrubber(search: Search, found: (name: string) => void): Scrubber {
  /** What begins like an echo, as it came, and how much of it has gone out. */
  let kept: Buffer = EMPTY
  let gone = 0

  function pass(bytes: Buffer, last: boolean): Buffer {
    const { echoes, begins, held } = scan(search, bytes, last)
    const from = gone
    const to = Math.max(from, held)
    kept = begins < bytes.length ? bytes.subarray(begins) : EMPTY
    gone = kept === EMPTY ? 0 : to - begins
    let out = from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)
    let copied = false
    for (const { start, end, name } of echoes) {
      if (end <= from || start >= to) continue
      if (!copied) out = Buffer.from(out)
      copied = true
      for (let at = Math.max(start, from); at < Math.min(end, to); at++) out[at - from] = MASK[at - start] ?? STAR
      found(name)
    }
    return out
  }

  return {
    push: chunk => pass(kept === EMPTY ? chunk : Buffer.concat([kept, chunk]), false),
    end: () => (kept === EMPTY ? EMPTY : pass(kept, true)),
  }
}

/** A whole text (latin1) without echoes. */
export function scrubText(search: Search, text: string, found: (name: string) => void): string {
  const bytes = Buffer.from(text, 'latin1')
  const { echoes } = scan(search, bytes, true)
  for (const { start, end, name } of echoes) {
    for (let at = start; at < end; at++) bytes[at] = MASK[at - start] ?? STAR
    found(name)
  }
  return echoes.length === 0 ? text : bytes.toString('latin1')
}

type Echo = { readonly start: number; readonly end: number; readonly name: string }

type Scanned = {
  readonly echoes: readonly Echo[]
  /** From here on something may go on as an echo in the next bytes; the end where nothing may. */
  begins: number
  /** From here on it has `HELD_CHARACTERS` of it. */
  held: number
}

/** `last`: nothing follows. */
function scan(search: Search, bytes: Buffer, last: boolean): Scanned {
  const size = bytes.length
  const echoes: Echo[] = []
  const scanned: Scanned = { echoes, begins: size, held: size }
  const introducers = introducersIn(bytes)
  for (let from = 0; from < size; ) {
    const start = firstSuspect(search, bytes, from, introducers)
    from = scanStarts(search, bytes, start, Math.min(start + search.stride, size) - 1, last, scanned, echoes)
  }
  return scanned
}

/** Where the first stride begins in which an echo may begin; the last of them always may, since it cannot be told. */
function firstSuspect(search: Search, bytes: Buffer, from: number, introducers: boolean): number {
  const { stride, triples, inEcho, characters } = search
  const size = bytes.length
  // An echo that begins in a stride has the character at its last place among its own first `stride`, and two more.
  let place = from + stride - 1
  for (; place + 2 < size; place += stride) {
    const a = bytes[place] ?? 0
    const b = bytes[place + 1] ?? 0
    const c = bytes[place + 2] ?? 0
    if (triples[hash(a, b, c)] === 1) break
    if (!introducers || inEcho[a] !== 1 || inEcho[b] !== 1 || inEcho[c] !== 1) continue
    if (hasSpelling(bytes, place, characters)) break
  }
  return place - stride + 1
}

function introducersIn(bytes: Buffer): boolean {
  return INTRODUCERS.some(byte => bytes.includes(byte))
}

/** Is there a character of a form in several bytes where the characters at `place` and behind it may stand? */
function hasSpelling(bytes: Buffer, place: number, characters: Uint8Array): boolean {
  const introducer = INTRODUCER
  for (let at = Math.max(0, place - SPELLING_BYTES + 1); at <= place + 2; at++) {
    if (introducer[bytes[at] ?? 0] === 1 && spellsOneOf(bytes, at, characters)) return true
  }
  return false
}

/** Tries every start in [from, to]; returns the first place that was not looked at. */
function scanStarts(
  { starts }: Search,
  bytes: Buffer,
  from: number,
  to: number,
  last: boolean,
  scanned: Scanned,
  echoes: Echo[],
): number {
  for (let start = from; start <= to; start++) {
    const forms = starts[bytes[start] ?? 0]
    if (forms === undefined) continue
    let longest = start
    let name = ''
    for (const form of forms) {
      begun = 0
      const end = match(form, bytes, start, 0)
      if (end > longest) {
        longest = end
        name = form.name
      }
      if (end !== CUT || last) continue
      scanned.begins = Math.min(scanned.begins, start)
      if (begun >= HELD_CHARACTERS) scanned.held = Math.min(scanned.held, start)
    }
    if (longest === start) continue
    echoes.push({ start, end: longest, name })
    return longest
  }
  return to + 1
}

/** How many characters have begun in what was CUT. */
let begun = 0

/** Where `form` from its character `index` on ends if it stands at `start`. */
function match({ one, other }: Form, bytes: Buffer, start: number, index: number): number {
  let at = start
  for (; index < one.length; index++) {
    const a = one[index] ?? 0
    const b = other[index] ?? 0
    if (INTRODUCER[a] === 1) return matchAmbiguous({ one, other }, bytes, at, index)
    const byte = bytes[at]
    if (byte === a || byte === b) {
      at++
      continue
    }
    if (byte !== undefined && INTRODUCER[byte] !== 1) return NONE
    const next = spelled(bytes, at, a, b)
    if (next === CUT) begun = Math.max(begun, at < bytes.length ? index + 1 : index)
    if (next < 0) return next
    at = next
  }
  return at
}

/** The same where the wanted character itself introduces spellings: several readings may fit. */
function matchAmbiguous(form: Form, bytes: Buffer, at: number, index: number): number {
  const one = form.one[index] ?? 0
  const other = form.other[index] ?? 0
  let result = NONE
  for (let skip = 0; ; skip++) {
    const next = spelled(bytes, at, one, other, skip)
    if (next === CUT) begun = Math.max(begun, at < bytes.length ? index + 1 : index)
    if (next < 0) return result !== NONE ? result : next
    const end = match(form, bytes, next, index + 1)
    if (end >= 0) return end
    if (end === CUT) result = CUT
  }
}

function hash(a: number, b: number, c: number): number {
  return ((a * 0x1f3) ^ (b * 0x3d) ^ (c << 9)) & (HASHES - 1)
}

const IN_SPELLING = /[a-z0-9#;&%\\]/i
const INTRODUCERS = [0x25, 0x26, 0x5c]
const EMPTY = Buffer.alloc(0)
const HASHES = 65_536
/** Longer strides save little and look at more bytes where one is suspicious. */
const STRIDE_BYTES = 64
const HELD_CHARACTERS = 4
const MASK = Buffer.from(PLACEHOLDER)
const STAR = 0x2a
