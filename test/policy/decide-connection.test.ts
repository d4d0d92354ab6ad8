import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decideSniffed,
  decideTarget,
  type SniffedBytes,
  type SniffedDecision,
  type Target,
} from '../../src/policy/decide-connection.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { ai, gateway, l4, TERMINATE } from '../resources/fixtures.ts'
import { host, ip, policy } from './fixtures.ts'

const RULES = [
  l4(
    'l4',
    '{destinationHostnames: [a.com], ports: [{port: 443}, {port: 80}]}',
    '{destinationHostnames: [ssh.com], ports: [{port: 22}]}',
    '{destinationCIDRs: [93.0.0.0/8, 0.0.0.0/0], ports: [{port: 5432}]}',
    '{destinationCIDRs: [10.1.0.0/16], ports: [{port: 443}]}',
  ),
  ai('ai', '{provider: anthropic}'),
]
const DENY = policy(gateway(), ...RULES)
const ALLOW = policy(gateway('defaultPolicy: allow-all'), ...RULES)
const AUDIT = policy(gateway('enforcement: audit'), ...RULES)
const HTTP = policy(
  gateway('defaultPolicy: allow-all', '[{name: t, protocol: HTTPS}, {name: h, protocol: HTTP, port: 80}]'),
  ...RULES,
)
const PASS = policy(gateway('', '[{name: t, protocol: TLS}]'), ...RULES)
const RAW = policy(gateway('defaultPolicy: allow-all', '[{name: r, protocol: TCP, port: 443}]'), ...RULES)
const OPEN_TCP = policy(gateway('defaultPolicy: allow-all', '[{name: r, protocol: TCP}]'), ...RULES)
const BROKEN: Policy = { ...ALLOW, fault: { code: 'CLRK_POLICY_BROKEN', details: { reason: 'x' } } }

const to = (text: string): Target =>
  text === 'explaining'
    ? { kind: 'explaining' }
    : /^[\d.:]+$/.test(text)
      ? { kind: 'address', address: ip(text) }
      : { kind: 'name', name: host(text) }
const tls = (serverName: string | null, more: Partial<Extract<SniffedBytes, { kind: 'tls' }>> = {}): SniffedBytes => {
  return { kind: 'tls', serverName, ech: false, alpn: ['http/1.1'], ...more }
}
const http = (authority: string | null): SniffedBytes => ({ kind: 'http', authority })
const raw: SniffedBytes = { kind: 'raw' }

/** The decision on one line: `action [how] destination CODE (would CODE)`. */
function show(decision: SniffedDecision): string {
  const words: string[] = [decision.action]
  if ('how' in decision) words.push(decision.how)
  if ('name' in decision && decision.name !== null) words.push(decision.name)
  if ('address' in decision && decision.address !== null) words.push(decision.address)
  if ('fault' in decision) words.push(decision.fault.code.slice(5))
  if ('wouldDeny' in decision && decision.wouldDeny !== null) words.push(`(would ${decision.wouldDeny.code.slice(5)})`)
  return words.join(' ')
}

for (const [what, rules, destination, port, sniffed, expected] of [
  // Dialled by name.
  ['an allowed host', DENY, 'a.com', 443, tls('a.com'), 'terminate a.com'],
  ['in another spelling (T10)', DENY, 'a.com', 443, tls('A.COM.'), 'terminate a.com'],
  ['a provider', DENY, 'api.anthropic.com', 443, tls('api.anthropic.com'), 'terminate api.anthropic.com'],
  [
    'another server name (T01, T03)',
    DENY,
    'a.com',
    443,
    tls('api.anthropic.com'),
    'explain tls api.anthropic.com SERVER_NAME_MISMATCH',
  ],
  ['no server name', ALLOW, 'a.com', 443, tls(null), 'explain tls a.com SERVER_NAME_MISMATCH'],
  ['an address as server name (T24)', ALLOW, 'a.com', 443, tls('127.0.0.1'), 'explain tls a.com SERVER_NAME_MISMATCH'],
  ['another port', DENY, 'a.com', 8443, tls('a.com'), 'explain tls a.com PORT_NOT_ALLOWED'],
  ['a name no longer allowed', DENY, 'b.com', 443, tls('b.com'), 'explain tls b.com NAME_NOT_ALLOWED'],
  ['ECH where we terminate (T22)', DENY, 'a.com', 443, tls('a.com', { ech: true }), 'terminate a.com'],
  ['h2 alone', DENY, 'a.com', 443, tls('a.com', { alpn: ['h2'] }), 'terminate a.com'],
  ['no ALPN', DENY, 'a.com', 443, tls('a.com', { alpn: [] }), 'terminate a.com'],
  ['ALPN of another protocol (T47)', DENY, 'a.com', 443, tls('a.com', { alpn: ['x\n'] }), 'reset PROTOCOL_NOT_ALLOWED'],
  // Dialled by address.
  ['an address with an allowed name (T01)', DENY, '1.2.3.4', 443, tls('a.com'), 'terminate a.com'],
  ['an address with a denied name', DENY, '1.2.3.4', 443, tls('b.com'), 'explain tls b.com NAME_NOT_ALLOWED'],
  ['an address without a name (T02)', DENY, '1.2.3.4', 443, tls(null), 'reset SERVER_NAME_MISSING'],
  ['the same under allow-all', ALLOW, '1.2.3.4', 443, tls(null), 'reset SERVER_NAME_MISSING'],
  ['an address as name (T24)', ALLOW, '1.2.3.4', 443, tls('1.2.3.4'), 'reset SERVER_NAME_MISSING'],
  ['a CIDR rule', DENY, '93.1.1.1', 5432, tls('api.anthropic.com'), 'splice 93.1.1.1'],
  ['a wide CIDR rule', DENY, '1.2.3.4', 5432, raw, 'splice 1.2.3.4'],
  ['a wide CIDR rule on a private address (T126)', DENY, '10.9.9.9', 5432, raw, 'reset ADDRESS_NOT_ALLOWED'],
  ['a narrow CIDR rule on a private address', DENY, '10.1.9.9', 443, raw, 'splice 10.1.9.9'],
  ['metadata by a wide CIDR rule (T126)', DENY, '169.254.169.254', 5432, raw, 'reset ADDRESS_NOT_ALLOWED'],
  ['an address under allow-all', ALLOW, '1.2.3.4', 22, raw, 'splice 1.2.3.4'],
  ['an address without a rule', DENY, '1.2.3.4', 22, raw, 'reset ADDRESS_NOT_ALLOWED'],
  // The explaining address.
  ['a denied name', DENY, 'explaining', 443, tls('b.com'), 'explain tls b.com NAME_NOT_ALLOWED'],
  ['a denied name in the clear', DENY, 'explaining', 80, http('b.com'), 'explain http b.com PLAIN_HTTP_NOT_ALLOWED'],
  ['no name', DENY, 'explaining', 443, tls(null), 'reset SERVER_NAME_MISSING'],
  ['no name in the clear', DENY, 'explaining', 80, http(null), 'explain http NAME_NOT_ALLOWED'],
  ['raw bytes', ALLOW, 'explaining', 443, raw, 'reset NAME_NOT_ALLOWED'],
  // Plain HTTP.
  ['HTTP by an L4 rule', DENY, 'a.com', 80, http('a.com'), 'http a.com'],
  [
    'HTTP to a provider (T89)',
    DENY,
    'api.anthropic.com',
    80,
    http('api.anthropic.com'),
    'explain http api.anthropic.com PLAIN_HTTP_NOT_ALLOWED',
  ],
  [
    'HTTP to a provider on 443 (T89)',
    ALLOW,
    'api.anthropic.com',
    443,
    http('api.anthropic.com'),
    'explain http api.anthropic.com PLAIN_HTTP_NOT_ALLOWED',
  ],
  ['HTTP under allow-all with a TLS listener alone', ALLOW, 'b.com', 80, http('b.com'), 'splice b.com'],
  ['HTTP under allow-all with an HTTP listener', HTTP, 'b.com', 80, http('b.com'), 'http b.com'],
  ['HTTP on 443 under allow-all', ALLOW, 'b.com', 443, http('b.com'), 'explain http b.com PROTOCOL_NOT_ALLOWED'],
  ['HTTP by address with an allowed Host (T01)', DENY, '1.2.3.4', 80, http('a.com'), 'http a.com'],
  ['HTTP by address with a Host under allow-all', ALLOW, '1.2.3.4', 80, http('b.com:80'), 'splice b.com'],
  ['HTTP by address with an address as Host', DENY, '1.2.3.4', 80, http('1.2.3.4'), 'explain http ADDRESS_NOT_ALLOWED'],
  ['the same under allow-all', ALLOW, '1.2.3.4', 80, http('1.2.3.4'), 'splice 1.2.3.4'],
  // Raw bytes.
  ['SSH by an L4 rule', DENY, 'ssh.com', 22, raw, 'splice ssh.com'],
  ['raw bytes on 443 (T47)', DENY, 'a.com', 443, raw, 'reset PROTOCOL_NOT_ALLOWED'],
  ['raw bytes on 443 under allow-all (T47)', OPEN_TCP, 'a.com', 443, raw, 'reset PROTOCOL_NOT_ALLOWED'],
  ['raw bytes on 443 with a TCP listener on it', RAW, 'a.com', 443, raw, 'splice a.com'],
  ['raw bytes on 80 (T18)', DENY, 'a.com', 80, raw, 'reset PROTOCOL_NOT_ALLOWED'],
  ['raw bytes on 80 under allow-all with a TLS listener alone', ALLOW, 'a.com', 80, raw, 'splice a.com'],
  ['raw bytes on 80 under allow-all with an HTTP listener', HTTP, 'a.com', 80, raw, 'reset PROTOCOL_NOT_ALLOWED'],
  ['raw bytes to a provider', RAW, 'api.anthropic.com', 443, raw, 'reset PROTOCOL_NOT_ALLOWED'],
  // Without termination.
  ['passthrough', PASS, 'a.com', 443, tls('a.com'), 'passthrough a.com'],
  ['ECH in passthrough (T22)', PASS, 'a.com', 443, tls('a.com', { ech: true }), 'reset TLS_ENCRYPTED_HELLO'],
  [
    'a provider in passthrough',
    PASS,
    'api.anthropic.com',
    443,
    tls('api.anthropic.com'),
    'explain tls api.anthropic.com POLICY_BROKEN',
  ],
  [
    'a provider with no TLS listener',
    OPEN_TCP,
    'api.anthropic.com',
    443,
    tls('api.anthropic.com'),
    'explain tls api.anthropic.com POLICY_BROKEN',
  ],
  ['TLS with no TLS listener', OPEN_TCP, 'b.com', 443, tls('b.com'), 'splice b.com'],
  ['TLS on a port that a TCP listener takes', RAW, 'b.com', 443, tls('b.com'), 'splice b.com'],
  // Names that cannot be public, faults, audit.
  [
    'a local name under allow-all',
    ALLOW,
    '1.2.3.4',
    443,
    tls('db.internal'),
    'explain tls db.internal NAME_NOT_ALLOWED',
  ],
  ['a broken policy', BROKEN, 'a.com', 443, tls('a.com'), 'explain tls a.com POLICY_BROKEN'],
  ['a broken policy in the clear', BROKEN, 'a.com', 80, http('a.com'), 'explain http a.com POLICY_BROKEN'],
  ['a broken policy and an open CIDR', BROKEN, '93.1.1.1', 5432, raw, 'reset POLICY_BROKEN'],
  ['audit: a name', AUDIT, 'b.com', 443, tls('b.com'), 'terminate b.com (would NAME_NOT_ALLOWED)'],
  ['audit: an address', AUDIT, '1.2.3.4', 22, raw, 'splice 1.2.3.4 (would ADDRESS_NOT_ALLOWED)'],
  ['audit: plain HTTP', AUDIT, 'b.com', 80, http('b.com'), 'splice b.com (would PLAIN_HTTP_NOT_ALLOWED)'],
  [
    'audit: a false server name stays refused',
    AUDIT,
    'b.com',
    443,
    tls('a.com'),
    'explain tls a.com SERVER_NAME_MISMATCH',
  ],
] as const satisfies readonly (readonly [string, Policy, string, number, SniffedBytes, string])[]) {
  test(`${what} → ${expected}`, () => {
    assert.equal(show(decideSniffed(rules, to(destination), port, sniffed)), expected)
  })
}

for (const [destination, port, deny, allow] of [
  ['a.com', 443, 'allow l4 default/l4/0/0', 'allow l4 default/l4/0/0'],
  ['a.com', 22, 'deny PORT_NOT_ALLOWED', 'allow default null'],
  ['b.com', 443, 'deny NAME_NOT_ALLOWED', 'allow default null'],
  ['api.anthropic.com', 443, 'allow provider default/ai/0/0', 'allow provider default/ai/0/0'],
  ['1.2.3.4', 443, 'needs-name', 'needs-name'],
  ['1.2.3.4', 22, 'needs-name', 'needs-name'], // a name is allowed on 22
  ['1.2.3.4', 25, 'deny ADDRESS_NOT_ALLOWED', 'needs-name'],
  ['explaining', 25, 'deny NAME_NOT_ALLOWED', 'needs-name'],
  ['93.1.1.1', 5432, 'raw-address default/l4/2/0', 'raw-address default/l4/2/0'],
] as const) {
  test(`${destination}:${port} before any byte: ${deny} under deny-all, ${allow} under allow-all`, () => {
    for (const [rules, expected] of [
      [DENY, deny],
      [ALLOW, allow],
    ] as const) {
      const decision = decideTarget(rules, to(destination), port)
      const words: unknown[] = [decision.verdict]
      if ('via' in decision) words.push(decision.via)
      if ('rule' in decision) words.push(decision.rule)
      if ('fault' in decision) words.push(decision.fault.code.slice(5))
      assert.equal(words.map(String).join(' '), expected)
    }
  })
}

test('a listener for the very port hides those for every port', () => {
  const listeners = `[{name: t, protocol: TLS, port: 8443}, ${TERMINATE.slice(1)}`
  const rules = policy(gateway('defaultPolicy: allow-all', listeners))
  assert.equal(show(decideSniffed(rules, to('a.com'), 8443, tls('a.com'))), 'passthrough a.com')
  assert.equal(show(decideSniffed(rules, to('a.com'), 443, tls('a.com'))), 'terminate a.com')
})
