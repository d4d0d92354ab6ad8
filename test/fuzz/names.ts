/** A host name, once canonical, stays as it is and has the shape that everything else relies on. */
import assert from 'node:assert/strict'
import { canonicalName, parsePattern } from '../../src/policy/names.ts'

export const target = {
  name: 'names',
  seeds: [
    'api.anthropic.com',
    'EXAMPLE.com.',
    'faß.de',
    'xn--fa-hia.de',
    '*.a.b',
    '0x7f.1',
    '127.1',
    'a。b',
    'x%2ey',
  ].map(text => Buffer.from(text)),
  maximumBytes: 512,
  run(bytes: Buffer): void {
    const name = canonicalName(bytes.toString('utf8'))
    parsePattern(bytes.toString('utf8'))
    if (name === null) return
    assert.equal(canonicalName(name), name)
    assert.match(name, /^[a-z0-9_.-]{1,253}$/)
    assert.ok(name.split('.').every(label => label.length > 0 && label.length < 64))
    const host = URL.parse(`https://${name}/`)?.hostname
    assert.ok(host === undefined || !/^[0-9.]+$/.test(host), 'a browser would read an address')
  },
}
