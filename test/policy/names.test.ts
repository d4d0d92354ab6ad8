import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalName, isPublicHostShape, matchesPattern, parsePattern } from '../../src/policy/names.ts'
import { host } from './fixtures.ts'

test('one name, however it is spelled (T10, T11)', () => {
  for (const [text, name] of [
    ['API.Example.COM', 'api.example.com'],
    ['api.example.com.', 'api.example.com'],
    ['api。example．com', 'api.example.com'],
    ['ＡＰＩ.example.com', 'api.example.com'],
    ['faß.de', 'xn--fa-hia.de'],
    ['XN--FA-HIA.de', 'xn--fa-hia.de'],
    ['_dmarc.a_b.com', '_dmarc.a_b.com'],
    ['localhost', 'localhost'],
    [`${'a'.repeat(63)}.com`, `${'a'.repeat(63)}.com`],
  ] as const) {
    assert.equal(canonicalName(text), name)
  }
})

test('what is no host name has none: addresses in any spelling, ports, userinfo, escapes (T10, T13, T24)', () => {
  const texts = [
    ...[
      '127.0.0.1',
      '127.1',
      '0x7f.1',
      '0x7f000001',
      '2130706433',
      '0177.0.0.1',
      '1',
      '1.2.3.4.5',
      'a.0x',
      '１２７.0.0.1',
    ],
    ...[
      '::1',
      '[::1]',
      'a:443',
      'u@a.com',
      'a.com/',
      'a%2eb.com',
      'a b.com',
      'a\tb.com',
      'a\0b.com',
      ' a.com',
      'a.com\n',
    ],
    ...['', '.', 'a..b', '.a', 'a..', '-a.com', 'a-.com', '*.a.com', `${'a'.repeat(64)}.com`, 'a,b.com', '\ud800.com'],
    Array(64).fill('abc').join('.'),
    'a'.repeat(100_000),
  ]
  for (const text of texts) assert.equal(canonicalName(text), null, text.slice(0, 40))
})

test('a wildcard takes exactly one label more (T12)', () => {
  const pattern = parsePattern('*.A.com')
  assert.deepEqual(pattern, { kind: 'wildcard', suffix: 'a.com' })
  const matched = ['x.a.com', 'a.com', 'y.x.a.com', 'xa.com', 'x.a.com.evil', 'x.a.com.evil.org', 'xxa.com']
    .map(host)
    .filter(name => pattern !== null && matchesPattern(pattern, name))
  assert.deepEqual(matched, ['x.a.com'])
  for (const text of ['*', '*.', '*a.com', 'a.*.com', '**.a.com', '*.*.com', '*.1.2.3.4'])
    assert.equal(parsePattern(text), null)
})

test('names that mean something local are no public hosts', () => {
  const names = ['nas', 'nas.local', 'a.internal', 'a.localhost', '1.0.0.127.in-addr.arpa', 'x.home.arpa', 'a.onion']
  assert.deepEqual([...names, 'a.test', 'local.com'].map(host).filter(isPublicHostShape), ['a.test', 'local.com'])
})
