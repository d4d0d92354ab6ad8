/** A known secret is found in every form, also where a body was cut in the middle of it; other text stays as it is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRedactor, inert, isSecretHeader, REDACTED, redactQuery } from '../../src/telemetry/redact.ts'
import { SECRET } from './exchange.ts'

const bytes = Buffer.from(SECRET, 'latin1')
const FORMS: readonly (readonly [string, string])[] = [
  ['as it is', SECRET],
  [
    'percent-encoded',
    [...bytes]
      .map(byte => `%${byte.toString(16).padStart(2, '0')}`)
      .join('')
      .replace(/%(2d|3\d|[46][1-9a-f]|[57][0-9a]|7e)/g, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      ),
  ],
  ['percent-encoded by encodeURIComponent', encodeURIComponent(SECRET)],
  ['as a JSON string', JSON.stringify(SECRET)],
  ['as a JSON string with escaped slashes', JSON.stringify(SECRET).replaceAll('/', '\\/')],
  ...[0, 1, 2, 3].flatMap(offset =>
    (['base64', 'base64url'] as const).map((alphabet): [string, string] => [
      `in ${alphabet} after ${offset} bytes`,
      Buffer.concat([Buffer.from('user'.slice(0, offset)), bytes, Buffer.from(':x')]).toString(alphabet),
    ]),
  ),
]
/** Any eight characters in a row of the secret or of its base64 are too much. */
function pieces(): string[] {
  const encoded = [0, 1, 2].map(offset =>
    Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .slice(offset + 1, -4),
  )
  return [SECRET, ...encoded].flatMap(form =>
    Array.from({ length: form.length - 9 }, (_, at) => form.slice(at, at + 10)),
  )
}

for (const [form, text] of FORMS) {
  test(`a secret is taken out ${form} (T82)`, () => {
    const redactor = createRedactor(['another-secret', SECRET])
    assert.ok(redactor.holds(`before ${text} after`))
    const redacted = redactor.text(`before ${text} after`)
    assert.match(redacted, /^before .*\[redacted\].* after$/)
    for (const piece of pieces()) assert.ok(!redacted.includes(piece), `${piece} in ${redacted}`)
    const body = Buffer.from(`{"k":"${text}"}`, 'latin1')
    assert.equal(redactor.body(body, 'none').toString('latin1'), redactor.text(body.toString('latin1')))
  })
}

test('a spelling that the response guard masks is no way into telemetry (T82)', () => {
  const key = Buffer.from('sk-live+0123456789/abcdefghijklmnop=')
  const each = (spell: (code: number) => string) => [...key].map(spell).join('')
  const redactor = createRedactor([key.toString()])
  for (const form of [
    each(code => `%${code.toString(16)}`),
    each(code => `%25${code.toString(16)}`),
    each(code => `\\u00${code.toString(16)}`),
    each(code => `&#${code};`),
    key.toString('hex'),
    key.toString('hex').toUpperCase(),
  ]) {
    assert.ok(redactor.holds(`a ${form} b`), form)
    for (const given of [redactor.text(form), redactor.body(Buffer.from(form), 'none').toString()]) {
      assert.ok(!given.includes(form.slice(0, 30)) && !given.includes(form.slice(-30)), given)
    }
  }
})

test('what follows Bearer or Basic is a secret too, and what Basic encodes', () => {
  const basic = Buffer.from('user:correct-horse').toString('base64')
  const redactor = createRedactor(['Bearer sk-live-0123456789', `Basic ${basic}`, 'Bearer short'])
  assert.equal(redactor.text('token=sk-live-0123456789'), `token=${REDACTED}`)
  assert.equal(redactor.text(`a ${basic} b`), `a ${REDACTED} b`)
  assert.equal(redactor.text('a user:correct-horse b correct-horse'), `a ${REDACTED} b ${REDACTED}`)
  assert.equal(redactor.text('a Bearer short b short'), `a ${REDACTED} b short`)
})

test('every occurrence goes, one after the other and at the edges', () => {
  const redactor = createRedactor(['abcdefgh'])
  assert.equal(redactor.text('abcdefghabcdefgh abcdefgh'), `${REDACTED}${REDACTED} ${REDACTED}`)
})

test('the longest secret wins where one begins with another', () => {
  const redactor = createRedactor(['sk-12345678', 'sk-12345678-and-more'])
  assert.equal(redactor.text('x sk-12345678-and-more y'), `x ${REDACTED} y`)
})

test('where a body was cut inside a secret, the half is taken out', () => {
  const redactor = createRedactor([SECRET])
  for (let length = 8; length < SECRET.length; length++) {
    const head = Buffer.from(`text ${SECRET.slice(0, length)}`, 'latin1')
    assert.equal(redactor.body(head, 'end').toString('latin1'), `text ${REDACTED}`)
    const tail = Buffer.from(`${SECRET.slice(-length)} text`, 'latin1')
    assert.equal(redactor.body(tail, 'start').toString('latin1'), `${REDACTED} text`)
  }
})

test('text without a secret comes back as it is; without secrets nothing is searched', () => {
  const body = Buffer.from('{"text":"sk-ant-CANARX"}')
  assert.equal(createRedactor([SECRET]).body(body, 'none'), body)
  assert.equal(createRedactor([SECRET]).text('sk-ant'), 'sk-ant')
  assert.equal(createRedactor([]).holds('anything'), false)
  assert.equal(createRedactor(['', ' ', 'eu']).text('the neutral'), 'the neutral')
})

test('headers that carry credentials are known by name, in any spelling', () => {
  for (const name of [
    ...['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key', 'x-auth-token', 'openai-api-key'],
    ...[
      'anthropic-api-key',
      'api-key',
      'x-goog-api-key',
      'x-amz-security-token',
      'x_api_key',
      'x-forwarded-authorization',
    ],
    ...['ocp-apim-subscription-key', 'x-vault-token', 'x-secret', 'x-amz-signature', 'apikey'],
  ]) {
    assert.ok(isSecretHeader(name), name)
  }
  for (const name of [
    'content-type',
    'anthropic-version',
    'x-ratelimit-remaining-tokens',
    'user-agent',
    'request-id',
  ]) {
    assert.ok(!isSecretHeader(name), name)
  }
})

test('query parameters that carry credentials lose their value, however their name is written', () => {
  for (const [target, expected] of [
    ['/v1?key=abc&alt=sse', '/v1?key=[redacted]&alt=sse'],
    ['/v1?alt=sse&%6bey=abc', '/v1?alt=sse&%6bey=[redacted]'],
    ['/v1?%24key=abc;KEY=d', '/v1?%24key=[redacted];KEY=[redacted]'],
    ['/v1?access_token=a=b&api_key=c&api-key=d', '/v1?access_token=[redacted]&api_key=[redacted]&api-key=[redacted]'],
    ['/v1?X-Amz-Signature=a&X-Amz-Credential=b', '/v1?X-Amz-Signature=[redacted]&X-Amz-Credential=[redacted]'],
    ['/v1?sig=a&signature=b&token=c', '/v1?sig=[redacted]&signature=[redacted]&token=[redacted]'],
    ['/v1?%zz=a&max_tokens=5&page=2', '/v1?%zz=a&max_tokens=5&page=2'],
    ['/key=abc', '/key=abc'],
    ['https://h/p?token=a#f', 'https://h/p?token=[redacted]#f'],
  ] as const) {
    assert.equal(redactQuery(target), expected)
  }
})

test('text is inert: no control character is left (T106)', () => {
  assert.equal(inert('a\x1b[31m\r\n\x00\x7f\x9b\u202eb'), 'a\\x1b[31m\\x0d\\x0a\\x00\\x7f\\x9b\\u202eb')
  assert.equal(inert('plain ü €'), 'plain ü €')
})
