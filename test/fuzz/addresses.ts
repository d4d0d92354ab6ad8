/** An address, once canonical, stays as it is, is one for node:net too, and can be judged. */
import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { cidrContains, parseAddress, parseCidr, specialRange } from '../../src/policy/addresses.ts'

export const target = {
  name: 'addresses',
  seeds: [
    '127.0.0.1',
    '0.0.0.0/0',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '2001:db8::/32',
    '64:ff9b::7f00:1',
    'fe80::1%lo',
    '1:2:3:4:5:6:7.8.9.0',
  ].map(text => Buffer.from(text)),
  maximumBytes: 64,
  run(bytes: Buffer): void {
    const text = bytes.toString('latin1')
    const cidr = parseCidr(text)
    if (!('problem' in cidr)) assert.ok(cidrContains(cidr, cidr.address))
    const address = parseAddress(text)
    assert.equal(address !== null, isIP(text) !== 0 && !text.includes('%'))
    if (address === null) return
    assert.equal(parseAddress(address), address)
    const range = specialRange(address)
    const mapped = parseAddress(`::ffff:${address}`)
    if (mapped !== null) assert.deepEqual(specialRange(mapped), range)
  },
}
