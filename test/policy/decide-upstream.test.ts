import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideProxy, decideUpstream, resolveAlias, staysOnHost } from '../../src/policy/decide-upstream.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { gateway, l4 } from '../resources/fixtures.ts'
import { host, ip, policy } from './fixtures.ts'

const NAMES = '{destinationHostnames: [a.com, git.corp], ports: [{port: 443}]}'
const ALIASES =
  'upstreamTLS: {hostAliases: [{ip: 127.7.7.7, hostnames: [git.corp]}, {ip: 10.9.9.9, hostnames: [a.com]}]}'
const PLAIN = policy(gateway(ALIASES), l4('l4', NAMES))
const WIDE = policy(
  gateway(ALIASES),
  l4('l4', NAMES, '{destinationCIDRs: [0.0.0.0/0, "::/0", 8.0.0.0/5, 160.0.0.0/3, 64.0.0.0/2, fc00::/6]}'),
)
const NARROW = policy(
  gateway(ALIASES),
  l4(
    'l4',
    NAMES,
    '{destinationCIDRs: [10.1.0.0/16, fd12::/16], ports: [{port: 443}]}',
    '{destinationCIDRs: [127.0.0.0/8, 169.254.169.254, 100.64.0.0/10]}',
  ),
)
const ALLOW = policy(gateway(`defaultPolicy: allow-all, ${ALIASES}`))
const AUDIT = policy(gateway(`enforcement: audit, ${ALIASES}`))
const HOST = new Set(['192.0.2.7', '203.0.114.9', '127.0.0.1', '2600::9'])

function decide(rules: Policy, to: string, port: number, address: string): string {
  const target = /^[\d.:a-f]+$/.test(to) && !to.endsWith('.com') ? { address: ip(to) } : { name: host(to) }
  const decision = decideUpstream(rules, target, port, ip(address), HOST)
  return decision.verdict === 'dial' ? `dial ${decision.address}` : decision.fault.code.slice(5)
}

for (const [what, rules, to, port, address, expected] of [
  ['a public answer', PLAIN, 'a.com', 443, '93.1.1.1', 'dial 93.1.1.1'],
  ['a public IPv6 answer', PLAIN, 'a.com', 443, '2600::1', 'dial 2600::1'],
  ['a name that no rule names', PLAIN, 'b.com', 443, '93.1.1.1', 'NAME_NOT_ALLOWED'],
  ['a port that no rule names', PLAIN, 'a.com', 22, '93.1.1.1', 'PORT_NOT_ALLOWED'],
  ['rebinding to a private address (T16)', PLAIN, 'a.com', 443, '10.0.0.1', 'ADDRESS_SPECIAL'],
  ['rebinding to loopback (T16)', ALLOW, 'a.com', 443, '127.0.0.1', 'ADDRESS_SPECIAL'],
  ['metadata under allow-all (T15)', ALLOW, 'b.com', 80, '169.254.169.254', 'ADDRESS_SPECIAL'],
  ['private under audit', AUDIT, 'b.com', 443, '192.168.0.1', 'ADDRESS_SPECIAL'],
  ['a mapped private address (T14)', ALLOW, 'b.com', 443, '::ffff:10.0.0.1', 'ADDRESS_SPECIAL'],
  ['a translated one (T14)', ALLOW, 'b.com', 443, '64:ff9b::7f00:1', 'ADDRESS_SPECIAL'],
  ['a wide CIDR and 10/8 (T126)', WIDE, 'a.com', 443, '10.0.0.1', 'ADDRESS_SPECIAL'],
  ['a wide CIDR and CGNAT (T126)', WIDE, 'a.com', 443, '100.64.0.1', 'ADDRESS_SPECIAL'],
  ['a wide CIDR and 172.16/12 (T126)', WIDE, '172.16.0.1', 443, '172.16.0.1', 'ADDRESS_NOT_ALLOWED'],
  ['a wide CIDR and ULA (T126)', WIDE, 'a.com', 443, 'fd12::1', 'ADDRESS_SPECIAL'],
  ['a wide CIDR and loopback (T126)', WIDE, '127.0.0.2', 443, '127.0.0.2', 'ADDRESS_NOT_ALLOWED'],
  ['a wide CIDR and the internet', WIDE, '8.8.8.8', 443, '8.8.8.8', 'dial 8.8.8.8'],
  ['a narrow CIDR', NARROW, 'a.com', 443, '10.1.2.3', 'dial 10.1.2.3'],
  ['a narrow CIDR by address', NARROW, 'fd12::3', 443, 'fd12::3', 'dial fd12::3'],
  ['a narrow CIDR on another port', NARROW, '10.1.2.3', 80, '10.1.2.3', 'ADDRESS_NOT_ALLOWED'],
  ['beside a narrow CIDR', NARROW, 'a.com', 443, '10.2.2.3', 'ADDRESS_SPECIAL'],
  ['loopback by a CIDR', NARROW, '127.0.0.2', 443, '127.0.0.2', 'ADDRESS_NOT_ALLOWED'],
  ['metadata by a CIDR', NARROW, 'a.com', 443, '169.254.169.254', 'ADDRESS_SPECIAL'],
  ['metadata inside an opened range', NARROW, 'a.com', 443, '100.100.100.200', 'ADDRESS_SPECIAL'],
  ['an alias on loopback', PLAIN, 'git.corp', 443, '127.7.7.7', 'dial 127.7.7.7'],
  ['an alias of another name', PLAIN, 'a.com', 443, '127.7.7.7', 'ADDRESS_SPECIAL'],
  ['beside an alias', PLAIN, 'git.corp', 443, '127.7.7.8', 'ADDRESS_SPECIAL'],
  ["the host's own public address (T131)", ALLOW, 'b.com', 443, '203.0.114.9', 'ADDRESS_SPECIAL'],
  ['the same, mapped (T131)', WIDE, 'a.com', 443, '::ffff:203.0.114.9', 'ADDRESS_SPECIAL'],
  ['the same by address (T131)', WIDE, '2600::9', 443, '2600::9', 'ADDRESS_SPECIAL'],
] as const) {
  test(`${what}: ${to}:${port} at ${address} → ${expected}`, () => {
    assert.equal(decide(rules, to, port, address), expected)
  })
}

for (const [address, expected] of [
  ['93.1.1.1', 'dial'],
  ['10.0.0.7', 'dial'], // it is the operator's
  ['fd12::7', 'dial'],
  ['100.64.0.7', 'dial'],
  ['127.7.7.7', 'dial'], // an alias of its name
  ['127.7.7.8', 'loopback'],
  ['::1', 'loopback'],
  ['::ffff:127.0.0.2', 'loopback'],
  ['169.254.169.254', 'a cloud metadata address'],
  ['64:ff9b::a9fe:a9fe', 'a cloud metadata address'],
  ['100.100.100.200', 'a cloud metadata address'],
  ['fe80::1', 'link-local'],
  ['0.0.0.0', 'unspecified'],
  ['203.0.114.9', "the worker host's own"],
] as const) {
  test(`a proxy at ${address}: ${expected}`, () => {
    const proxy = { secure: false, host: host('git.corp'), port: 3128, secret: null }
    const decision = decideProxy(PLAIN, proxy, ip(address), HOST)
    if (decision.verdict === 'dial') assert.equal(expected, 'dial')
    else assert.equal(decision.fault.details.reason, `${address} is ${expected}, which is never dialled`)
  })
}

test('what an alias leads to on loopback stays on the host, whatever proxy there is', () => {
  const stays = (name: string, address: string) => {
    const decision = decideUpstream(PLAIN, { name: host(name) }, 443, ip(address), HOST)
    return decision.verdict === 'dial' && staysOnHost(decision.address)
  }
  assert.equal(stays('git.corp', '127.7.7.7'), true)
  assert.equal(stays('a.com', '10.9.9.9'), false)
  assert.equal(stays('a.com', '93.1.1.1'), false)
})

test('an alias is what a name resolves to', () => {
  assert.equal(resolveAlias(PLAIN, host('git.corp')), '127.7.7.7')
  assert.equal(resolveAlias(PLAIN, host('b.com')), null)
})
