import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cidrContains, parseAddress, parseCidr, specialRange } from '../../src/policy/addresses.ts'
import type { Cidr } from '../../src/policy/policy.ts'
import { ip } from './fixtures.ts'

function cidr(text: string): Cidr {
  const result = parseCidr(text)
  assert.ok(!('problem' in result), text)
  return result
}

test('one text for each address (RFC 5952)', () => {
  for (const [text, address] of [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:0:2:3:0:0:4', '1::2:3:0:0:4'],
    ['::', '::'],
    ['0::1', '::1'],
    ['1::', '1::'],
    ['::ffff:a00:1', '::ffff:10.0.0.1'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
  ] as const) {
    assert.equal(parseAddress(text), address)
  }
})

test('other spellings are no addresses (T13)', () => {
  const texts = ['127.1', '0x7f.0.0.1', '010.0.0.1', '1.2.3.256', '1.2.3', '1.2.3.4.', ' 1.2.3.4', '1.2.3.4/32', '']
  const texts6 = [
    'fe80::1%lo',
    '[::1]',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7::8',
    '12345::',
    '::1.2.3',
    '1.2.3.4::',
    ':1',
  ]
  for (const text of [...texts, ...texts6]) assert.equal(parseAddress(text), null, text)
})

test('every form that leads to a closed address is seen through (T14, T15)', () => {
  for (const [address, name, hard] of [
    ['127.9.9.9', 'loopback', true],
    ['::1', 'loopback', true],
    ['0.1.2.3', 'unspecified', true],
    ['::', 'unspecified', true],
    ['169.254.1.1', 'link-local', true],
    ['fe80::1', 'link-local', true],
    ['224.0.0.1', 'multicast', true],
    ['ff02::1', 'multicast', true],
    ['255.255.255.255', 'broadcast', true],
    ['169.254.169.254', 'a cloud metadata address', true],
    ['169.254.170.2', 'a cloud metadata address', true],
    ['fd00:ec2::254', 'a cloud metadata address', true],
    ['100.100.100.200', 'a cloud metadata address', true],
    ['168.63.129.16', 'a cloud metadata address', true],
    ['192.0.0.192', 'a cloud metadata address', true],
    ['::ffff:169.254.169.254', 'a cloud metadata address', true],
    ['::127.0.0.1', 'loopback', true],
    ['64:ff9b::169.254.169.254', 'a cloud metadata address', true],
    ['64:ff9b:1::127.0.0.1', 'loopback', true],
    ['64:ff9b:1:7f00:0:100::', 'loopback', true],
    ['2002:a9fe:a9fe::1', 'a cloud metadata address', true],
    ['2001:0:7f00:1::', 'loopback', true],
    ['2001:0:808:808::5601:5601', 'a cloud metadata address', true], // the client's bits are inverted
    ['2600::5efe:127.0.0.1', 'loopback', true],
    ['2600::200:5efe:7f00:1', 'loopback', true],
    ['10.1.2.3', 'the private range 10.0.0.0/8', false],
    ['172.31.0.1', 'the private range 172.16.0.0/12', false],
    ['192.168.0.1', 'the private range 192.168.0.0/16', false],
    ['100.64.0.1', 'the carrier-grade NAT range 100.64.0.0/10', false],
    ['198.19.0.1', 'the benchmarking range 198.18.0.0/15', false],
    ['203.0.113.1', 'the documentation range 203.0.113.0/24', false],
    ['240.0.0.1', 'the reserved range 240.0.0.0/4', false],
    ['fd12::1', 'the unique local range fc00::/7', false],
    ['::ffff:10.0.0.1', 'the private range 10.0.0.0/8', false],
    ['2002:808:808::1', 'the 6to4 range 2002::/16', false],
    ['64:ff9b:1:808:8:800::', 'the local NAT64 range 64:ff9b:1::/48', false],
    ['4000::1', 'the reserved range 4000::/2', false],
  ] as const) {
    const range = specialRange(ip(address))
    assert.deepEqual([range?.name, range?.hard], [name, hard], address)
  }
})

test('the public internet is in no special range', () => {
  const addresses = [
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '223.255.255.255',
    '2606:4700::1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ]
  for (const address of addresses) assert.equal(specialRange(ip(address)), null, address)
})

test('a CIDR holds what it says, bit by bit', () => {
  assert.ok(cidrContains(cidr('10.0.0.0/9'), ip('10.127.255.255')))
  assert.ok(!cidrContains(cidr('10.0.0.0/9'), ip('10.128.0.0')))
  assert.ok(cidrContains(cidr('0.0.0.0/0'), ip('::ffff:8.8.8.8')))
  assert.ok(!cidrContains(cidr('::/0'), ip('::ffff:8.8.8.8')))
  assert.ok(cidrContains(cidr('2001:db8::/33'), ip('2001:db8:7fff::')))
  assert.ok(!cidrContains(cidr('2001:db8::/33'), ip('2001:db8:8000::')))
  assert.deepEqual(cidr('8.8.8.8'), { address: '8.8.8.8', prefix: 32 })
})

test('a CIDR that is not one says what to write', () => {
  for (const [text, fix] of [
    ['10.1.2.3/8', 'Write 10.0.0.0/8.'],
    ['2001:db8::1/32', 'Write 2001:db8::/32.'],
    ['::ffff:10.0.0.0/104', 'Write it as IPv4: 10.0.0.0/8.'],
    ['10.0.0.0/08', 'Write a prefix length from 0 to 32.'],
    ['10.0.0.0/8/8', 'Write an address and a prefix length: 10.1.0.0/16 or 2001:db8::/32.'],
  ] as const) {
    const result = parseCidr(text)
    assert.equal('fix' in result && result.fix, fix)
  }
})
