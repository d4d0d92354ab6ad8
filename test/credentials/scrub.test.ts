/** A credential that is sent back does not come out of the scrubber, in any form, however the bytes are cut. T79, T80. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createScrubber, createSearch, scrubText } from '../../src/credentials/scrub.ts'

const KEY = 'sk-ant-api03-C4n4ry/Qw+x_9Z~aB'
const search = createSearch([{ name: 'default/keys/token', value: `Bearer ${KEY}` }])
const hex = Buffer.from(KEY).toString('hex')
const each = (spell: (code: number, character: string) => string) =>
  [...KEY].map(character => spell(character.charCodeAt(0), character)).join('')
const byte = (code: number) => code.toString(16).padStart(2, '0')
const base64 = (front: string, encoding: BufferEncoding = 'base64') =>
  Buffer.from(`${front}${KEY}`)
    .toString(encoding)
    .slice(Math.ceil((front.length * 8) / 6), Math.floor(((front.length + KEY.length) * 8) / 6))

const FORMS: Readonly<Record<string, string>> = {
  'as it is': KEY,
  'percent-encoded': encodeURIComponent(KEY),
  'percent-encoded in lower case': encodeURIComponent(KEY).replace(/%../g, one => one.toLowerCase()),
  'percent-encoded, every character': each(code => `%${byte(code)}`),
  'percent-encoded, every other character': each((code, character) => (code % 2 === 0 ? `%${byte(code)}` : character)),
  'percent-encoded twice': encodeURIComponent(each(code => `%${byte(code)}`)),
  'JSON, slashes escaped': KEY.replaceAll('/', '\\/'),
  'JSON, every character': each(code => `\\u00${byte(code)}`),
  'JSON in JSON': each(code => `\\\\u00${byte(code)}`),
  'HTML, numbers': each(code => `&#${code};`),
  'HTML, hexadecimal': each(code => `&#x${byte(code).toUpperCase()};`),
  'HTML in JSON': KEY.replaceAll('+', '\\u0026#43;'),
  'base64, first alignment': base64(''),
  'base64, second': base64('u'),
  'base64, third': base64(':u'),
  'base64 for URLs': base64('user:', 'base64url'),
  'base64, percent-encoded': encodeURIComponent(base64('user:')),
  hexadecimal: hex,
  'hexadecimal in upper case': hex.toUpperCase(),
}

for (const [name, echo] of Object.entries(FORMS)) {
  test(`${name}: nothing but the first characters come out, whichever way it is cut`, () => {
    const whole = Buffer.from(`{"a":"${echo}","b":1}`)
    const [from, to] = [6, 6 + echo.length]
    const scrubbed = scrubText(search, whole.toString(), () => {})
    assert.equal(scrubbed.length, whole.length)
    assert.equal(scrubbed.slice(0, from) + scrubbed.slice(to), '{"a":"","b":1}')
    assert.match(scrubbed.slice(from, to), /^clrk-injected-by-proxy\**$/)
    for (let size = 1; size <= whole.length; size++) {
      const found: string[] = []
      const scrubber = createScrubber(search, secret => found.push(secret))
      let out = ''
      for (let at = 0; at < whole.length; at += size) out += scrubber.push(whole.subarray(at, at + size))
      out += scrubber.end()
      assert.equal(out.length, whole.length)
      assert.equal(out.slice(to), '","b":1}')
      // Up to three characters go out before it is known what they begin.
      const shown = FIRST_CHARACTERS.exec(echo)?.[0].length ?? 0
      assert.match(out.slice(from + shown, to), /^[a-z-]*\**$/, `cut into ${size}`)
      assert.ok(!out.slice(from + shown, to).includes(echo.slice(shown, shown + 8)))
      assert.deepEqual([...new Set(found)], ['default/keys/token'])
    }
  })
}

test('what Basic says is a secret of its own', () => {
  const basic = createSearch([{ name: 'b', value: `Basic ${Buffer.from(`me:${KEY}`).toString('base64')}` }])
  for (const text of [KEY, `me:${KEY}`, Buffer.from(`me:${KEY}`).toString('base64'), encodeURIComponent(KEY)]) {
    assert.ok(!scrubText(basic, `<${text}>`, () => {}).includes(text.slice(4)))
  }
})

test('a secret that holds percent, backslash and ampersand is found in each reading', () => {
  const value = 'p%25\\\\&amp;"x%41'
  const odd = createSearch([{ name: 'o', value }])
  const spelled = [
    ...[value, encodeURIComponent(value), encodeURIComponent(encodeURIComponent(value))],
    ...[JSON.stringify(value), JSON.stringify(JSON.stringify(value)), value.replaceAll('&', '&amp;')],
  ]
  for (const text of spelled)
    assert.match(
      scrubText(odd, text, () => {}),
      /clrk-inject/,
      text,
    )
})

test('all other bytes pass, and are not copied', () => {
  const scrubber = createScrubber(search, () => assert.fail('nothing is there'))
  const kinds = [
    randomBytes(65_536),
    Buffer.from('{"n":[0.125,"a\\/b","\\u0041%20&amp;"]}\n'.repeat(900)),
    Buffer.alloc(9_999),
  ]
  for (const bytes of kinds) {
    const before = Buffer.from(bytes)
    const out = scrubber.push(bytes)
    assert.ok(Buffer.concat([out, scrubber.end()]).equals(before))
  }
  const text = Buffer.from('all of this is harmless.')
  assert.equal(scrubber.push(text), text)
})

test('events go out at once, whole: only a beginning of the secret at the very end waits', () => {
  const scrubber = createScrubber(search, () => {})
  for (const event of ['data: {"text":"sk-ant-api03-"}\n\n', 'event: x\ndata: s\n\n', 'data: ends like it, sk-']) {
    assert.equal(String(scrubber.push(Buffer.from(event))), event)
  }
  assert.equal(String(scrubber.push(Buffer.from('ant'))), '')
  assert.equal(String(scrubber.push(Buffer.from('iques\n\n'))), 'antiques\n\n')
  assert.equal(String(scrubber.push(Buffer.from('sk-ant-api03'))), '')
  assert.equal(String(scrubber.end()), 'sk-ant-api03')
})

test('an echo after an echo, and one that only looked like a beginning', () => {
  const scrubber = createScrubber(search, () => {})
  let out = ''
  for (const part of [KEY.slice(0, 20), KEY, KEY, KEY.slice(0, 9), '.', KEY.slice(0, 9), KEY.slice(9)]) {
    out += scrubber.push(Buffer.from(part))
  }
  out += scrubber.end()
  assert.equal(out.replaceAll(/clrk-injected-by-proxy\*{8}/g, '|'), `${KEY.slice(0, 20)}||${KEY.slice(0, 9)}.|`)
})

const FIRST_CHARACTERS = /^(?:\\+u....|\\.|%25..|%..|&#\w+;|.){3}/s
