/** Any bytes around an echo in any form and spelling, cut anywhere: nothing of it comes out but its first characters. */
import assert from 'node:assert/strict'
import { createScrubber, createSearch, scrubText } from '../../src/credentials/scrub.ts'
import { PLACEHOLDER } from '../../src/providers/provider.ts'

const SECRETS = [
  'sk-ant-api03-C4n4ry/Qw+x_9Z~aB',
  'hunter22',
  `eyJhbGciOi.${'Zm9vYmFy'.repeat(20)}`,
  'a%40b&c\\d%25e"f<',
]
const SEARCHES = SECRETS.map(value => createSearch([{ name: 'k', value }]))
const SHOWN_CHARACTERS = 3

export const target = {
  name: 'scrub',
  seeds: [
    '\x00\x00noise around it, and a beginning of it: sk-ant-api03-C4n4ry/Q',
    '\x01\x01{"a":"\\u0068unter2","b":"%68%75nter2\\/"}',
    '\x02\x02data: {"delta":"Zm9vYmFyZm9v"}\n\ndata: %2541&amp;#43;\\\\u0041',
    '\x03\x03%25%25%2525\\\\\\\\&amp;&amp;amp;',
    '\x00\x04aHVudGVyMjI= 736b2d616e742d 736B2D616E742D',
  ].map(text => Buffer.from(text, 'latin1')) as readonly Buffer[],
  maximumBytes: 512,
  run(bytes: Buffer): void {
    const random = numbersFrom(bytes)
    const which = (bytes[0] ?? 0) % SECRETS.length
    const [secret = '', search = SEARCHES[0]] = [SECRETS[which], SEARCHES[which]]
    assert.ok(search)
    const noise = bytes.subarray(2)
    const cut = random(noise.length + 1)
    const echo = echoOf(secret, random)
    const whole = Buffer.concat([noise.subarray(0, cut), echo.bytes, noise.subarray(cut)])
    const [from, to] = [cut + echo.hiddenFrom, cut + echo.hiddenTo]

    const names: string[] = []
    const scrubber = createScrubber(search, name => names.push(name))
    const out: Buffer[] = []
    const largest = 1 + random(whole.length)
    for (let at = 0; at < whole.length; ) {
      const size = 1 + random(largest)
      const chunk = whole.subarray(at, at + size)
      const before = Buffer.from(chunk)
      out.push(scrubber.push(chunk))
      assert.ok(chunk.equals(before), 'it wrote into what it was given')
      at += size
    }
    out.push(scrubber.end())
    for (const result of [
      Buffer.concat(out),
      Buffer.from(
        scrubText(search, whole.toString('latin1'), () => {}),
        'latin1',
      ),
    ]) {
      assert.equal(result.length, whole.length)
      for (let at = 0; at < whole.length; at++) {
        const masked = MASK.includes(result[at] ?? 0)
        assert.ok(masked || (result[at] === whole[at] && !(at >= from && at < to)), say(at, whole, result))
      }
      assert.ok(!result.subarray(from, to).equals(whole.subarray(from, to)), say(from, whole, result))
    }
    assert.ok(names.every(name => name === 'k') && names.length > 0)
  },
}

function say(at: number, whole: Buffer, result: Buffer): string {
  return `byte ${at}: ${JSON.stringify([whole, result].map(bytes => bytes.toString('latin1')))}`
}

const MASK = Buffer.from(`${PLACEHOLDER}*`)

type Random = (below: number) => number
type Echo = { readonly bytes: Buffer; readonly hiddenFrom: number; readonly hiddenTo: number }

function echoOf(secret: string, random: Random): Echo {
  const kind = random(4)
  if (kind === 0) {
    const front = 'user:'.repeat(3).slice(0, random(12))
    const encoding = random(2) === 0 ? 'base64' : 'base64url'
    const text = Buffer.from(`${front}${secret}${'!'.repeat(random(4))}`, 'latin1').toString(encoding)
    const first = Math.ceil((front.length * 8) / 6)
    return spelledEcho(text, first, Math.floor(((front.length + secret.length) * 8) / 6), random)
  }
  const text = kind === 1 ? mixedCase(Buffer.from(secret, 'latin1').toString('hex'), random) : secret
  return spelledEcho(text, 0, text.length, random)
}

/** `text` with each of its characters spelled as it comes; what is hidden of its characters [first, last). */
function spelledEcho(text: string, first: number, last: number, random: Random): Echo {
  const dense = random(4)
  let out = ''
  let [hiddenFrom, hiddenTo] = [0, 0]
  for (let index = 0; index < text.length; index++) {
    if (index === first + SHOWN_CHARACTERS) hiddenFrom = out.length
    const character = text[index] ?? ''
    out += random(4) < dense ? spell(character, random) : character
    if (index === last - 1) hiddenTo = out.length
  }
  return { bytes: Buffer.from(out, 'latin1'), hiddenFrom, hiddenTo }
}

function spell(character: string, random: Random): string {
  const code = character.charCodeAt(0)
  const hex = mixedCase(code.toString(16).padStart(2, '0'), random)
  const ways = [
    ...[`%${hex}`, `%25${hex}`, `%2525${hex}`, `\\u00${hex}`, `\\\\u00${hex}`, `\\x${hex}`],
    ...[`&#${code};`, `&#x${hex};`, `&amp;#${code};`, `\\u0026#${code};`, `&#0${code};`],
    ...(/[A-Za-z0-9]/.test(character) ? [] : [`\\${character}`]),
  ]
  return ways[random(ways.length)] ?? character
}

function mixedCase(text: string, random: Random): string {
  return text.replace(/[a-f]/g, letter => (random(2) === 0 ? letter : letter.toUpperCase()))
}

/** Numbers that depend on all of `bytes`. */
function numbersFrom(bytes: Buffer): Random {
  let state = bytes.reduce((sum, byte) => (Math.imul(sum, 16_777_619) ^ byte) >>> 0, 2_166_136_261)
  return below => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return ((state ^ (state >>> 13)) >>> 0) % Math.max(1, below)
  }
}
