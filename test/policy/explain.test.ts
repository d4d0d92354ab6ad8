import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClrkFault } from '../../src/errors.ts'
import { decideSniffed, type SniffedBytes, type Target } from '../../src/policy/decide-connection.ts'
import { decideRequest } from '../../src/policy/decide-request.ts'
import { decideUpstream } from '../../src/policy/decide-upstream.ts'
import { explainProblem } from '../../src/policy/explain.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { ai, gateway } from '../resources/fixtures.ts'
import { host, ip, policy } from './fixtures.ts'

type Decide = (rules: Policy) => ClrkFault | null

const connect = (target: Target, port: number, sniffed: SniffedBytes): Decide => {
  return rules => {
    const decision = decideSniffed(rules, target, port, sniffed)
    return 'fault' in decision ? decision.fault : null
  }
}
const request = (name: string, path: string, model: string | null): Decide => {
  return rules => {
    const facts = { scheme: 'https', port: 443, method: 'GET', authority: name, name: host(name), path, model } as const
    const decision = decideRequest(rules, facts)
    return decision.verdict === 'deny' ? decision.fault : null
  }
}
const tls = (serverName: string | null): SniffedBytes => ({ kind: 'tls', serverName, ech: false, alpn: [] })
const name = (text: string): Target => ({ kind: 'name', name: host(text) })
const address = (text: string): Target => ({ kind: 'address', address: ip(text) })
const raw: SniffedBytes = { kind: 'raw' }

const BASE = [
  gateway(),
  ai('claude', '{provider: anthropic, endpoints: [/v1/messages]}'),
  ai('gpt', '{provider: openai, endpoints: [/v1/chat/completions], models: ["gpt-4*"]}'),
  ai('own', '{provider: custom, hostnames: ["*.corp.com"], endpoints: [/x]}'),
]

for (const [what, code, decide] of [
  ['a host', 'CLRK_NAME_NOT_ALLOWED', connect(name('b_b.com'), 443, tls('b_b.com'))],
  ['a port', 'CLRK_PORT_NOT_ALLOWED', connect(name('api.anthropic.com'), 8443, tls('api.anthropic.com'))],
  ['plain HTTP', 'CLRK_PLAIN_HTTP_NOT_ALLOWED', connect(name('b.com'), 80, { kind: 'http', authority: 'b.com' })],
  ['an address', 'CLRK_ADDRESS_NOT_ALLOWED', connect(address('8.8.8.8'), 22, raw)],
  ['an IPv6 address', 'CLRK_ADDRESS_NOT_ALLOWED', connect(address('2600::1'), 22, raw)],
  ['a private address', 'CLRK_ADDRESS_NOT_ALLOWED', connect(address('10.1.2.3'), 22, raw)],
  ['TLS without a name', 'CLRK_SERVER_NAME_MISSING', connect(address('8.8.8.8'), 443, tls(null))],
  ['an endpoint', 'CLRK_ENDPOINT_NOT_ALLOWED', request('api.anthropic.com', '/v1/[a]*"x\'', null)],
  ['an endpoint of a custom host', 'CLRK_ENDPOINT_NOT_ALLOWED', request('a.corp.com', '/y', null)],
  ['a model', 'CLRK_MODEL_NOT_ALLOWED', request('api.openai.com', '/v1/chat/completions', 'o1: "x"\n- *')],
] as const satisfies readonly (readonly [string, string, Decide])[]) {
  test(`the YAML in the denial of ${what} loads, and allows just that`, () => {
    const fault = decide(policy(...BASE))
    assert.equal(fault?.code, code)
    const { status, body } = explainProblem(fault, 'default/test')
    const problem = JSON.parse(body)
    assert.equal(status, 403)
    assert.deepEqual(
      { ...problem, detail: '', fix: '', title: '', yaml: '' },
      {
        type: `tag:clrk.apoxy.dev,2026:${code}`,
        title: '',
        status,
        detail: '',
        code,
        gateway: 'default/test',
        fix: '',
        yaml: '',
      },
    )
    assert.equal(decide(policy(...BASE, problem.yaml)), null)
    assert.notEqual(request('elsewhere.com', '/', null)(policy(...BASE, problem.yaml)), null)
  })
}

test('an allowed name at a private address: the YAML opens that address', () => {
  const rules = [gateway('defaultPolicy: allow-all')]
  const decide: Decide = policy => {
    const decision = decideUpstream(policy, { name: host('a.com') }, 443, ip('10.1.2.3'), new Set())
    return decision.verdict === 'deny' ? decision.fault : null
  }
  const fault = decide(policy(...rules))
  assert.equal(fault?.code, 'CLRK_ADDRESS_SPECIAL')
  assert.equal(decide(policy(...rules, JSON.parse(explainProblem(fault, 'default/test').body).yaml)), null)
})

test('what no resource can open has no YAML', () => {
  for (const details of [
    { name: 'a.com', address: '169.254.169.254', port: 80, range: 'a cloud metadata address' },
    { name: 'a.com', address: '203.0.114.9', port: 80, range: "the worker host's own" },
    { name: 'a.com', address: '64:ff9b::a00:1', port: 80, range: 'the private range 10.0.0.0/8' },
  ]) {
    const { body } = explainProblem({ code: 'CLRK_ADDRESS_SPECIAL', details }, 'default/test')
    assert.ok(!('yaml' in JSON.parse(body)), body)
  }
})

test('control characters of an agent stay inside JSON strings (T106)', () => {
  const fault = { code: 'CLRK_AUTHORITY_MISMATCH', details: { name: 'a.com', authority: 'x\r\n\x1b[31m"' } } as const
  const { status, body } = explainProblem(fault, 'default/test')
  assert.equal(status, 421)
  assert.doesNotMatch(body, /[\r\x1b]/)
  assert.match(JSON.parse(body).detail, /x\r\n/)
})
