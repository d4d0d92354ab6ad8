import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideName } from '../../src/policy/decide-name.ts'
import { ai, gateway, l4 } from '../resources/fixtures.ts'
import { host, policy } from './fixtures.ts'

const RULES = [
  l4(
    'l4',
    '{destinationHostnames: [a.com, "*.b.com", nas, printer.local], ports: [{port: 22}]}',
    '{destinationCIDRs: [0.0.0.0/0]}',
  ),
  ai('ai', '{provider: anthropic}', '{provider: bedrock}', '{provider: custom, hostnames: [llm.corp.internal]}'),
]
const ALIASES = 'upstreamTLS: {hostAliases: [{ip: 10.0.0.9, hostnames: [git.internal]}]}'
const DENY = policy(gateway(ALIASES), ...RULES)
const ALLOW = policy(gateway(`defaultPolicy: allow-all, ${ALIASES}`), ...RULES)
const AUDIT = policy(gateway(`enforcement: audit, ${ALIASES}`), ...RULES)

for (const [name, denyAll, allowAll] of [
  ['a.com', 'virtual', 'virtual'],
  ['x.b.com', 'virtual', 'virtual'],
  ['b.com', 'explain', 'virtual'],
  ['api.anthropic.com', 'virtual', 'virtual'],
  ['bedrock-runtime.xy-new-9.amazonaws.com', 'virtual', 'virtual'],
  ['api.openai.com', 'explain', 'virtual'], // a CIDR rule alone allows addresses, never names
  ['llm.corp.internal', 'virtual', 'virtual'],
  ['nas', 'virtual', 'virtual'],
  ['printer.local', 'virtual', 'virtual'],
  ['git.internal', 'explain', 'virtual'],
  ['other.internal', 'unknown', 'unknown'],
  ['metadata', 'unknown', 'unknown'],
  ['1.0.0.10.in-addr.arpa', 'unknown', 'unknown'],
] as const) {
  test(`${name} is answered: ${denyAll} under deny-all, ${allowAll} under allow-all`, () => {
    assert.equal(decideName(DENY, host(name)), denyAll)
    assert.equal(decideName(ALLOW, host(name)), allowAll)
    assert.equal(decideName(AUDIT, host(name)), allowAll)
  })
}
