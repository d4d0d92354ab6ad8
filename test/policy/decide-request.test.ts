import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideRequest, type RequestFacts } from '../../src/policy/decide-request.ts'
import { pathProblem } from '../../src/policy/paths.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { ai, gateway, inject, l4, SECRET } from '../resources/fixtures.ts'
import { host, policy } from './fixtures.ts'

const RULES = [
  ai('claude', '{provider: anthropic, endpoints: [/v1/messages, "/v1/models/*"]}'),
  ai('gpt', '{provider: openai, endpoints: [/v1/chat/completions], models: ["gpt-4*"]}'),
  ai('vertex', '{provider: google, models: ["gemini-*"]}'),
  ai('own', '{provider: custom, hostnames: [llm.corp.com]}'),
  l4('l4', '{destinationHostnames: [a.com, api.anthropic.com], ports: [{port: 443}, {port: 80}, {port: 8443}]}'),
  inject('key', 'AIProviderRoute', 'claude', 'x-api-key'),
  inject('own', 'AIProviderRoute', 'own', 'authorization'),
  SECRET,
]
const DENY = policy(gateway(), ...RULES)
const ALLOW = policy(gateway('defaultPolicy: allow-all'), ...RULES)
const AUDIT = policy(gateway('enforcement: audit'), ...RULES)
const LADDER = policy(
  gateway(),
  ai(
    'gpt',
    '{provider: openai, models: ["gpt-4*"]}',
    '{provider: openai, endpoints: [/v1/models]}',
    '{provider: openai, models: [o1]}',
  ),
  ai('other', '{provider: custom, hostnames: [bedrock-runtime.us-east-1.amazonaws.com], models: [cheap]}'),
)
const FAULTY: Policy = {
  ...DENY,
  providerRules: DENY.providerRules.map(rule => ({
    ...rule,
    fault: { code: 'CLRK_POLICY_BROKEN', details: { reason: 'x' } },
  })),
}

function show(rules: Policy, request: Partial<RequestFacts> & { host: string }): string {
  const { host: text, ...more } = request
  const name = host(text)
  const facts = {
    scheme: 'https',
    port: 443,
    method: 'POST',
    authority: name,
    path: '/v1/messages',
    model: null,
    name,
  } as const
  const decision = decideRequest(rules, { ...facts, ...more })
  if (decision.verdict === 'deny') return decision.fault.code.slice(5)
  if (decision.verdict === 'read-body') return `read-body ${decision.rule.id}`
  const words = ['forward', decision.rule?.id ?? '-', `strip ${decision.strip ?? '-'}`]
  words.push(...decision.credentials.map(({ headerName }) => `set ${headerName}`))
  if (decision.wouldDeny !== null) words.push(`(would ${decision.wouldDeny.code.slice(5)})`)
  return words.join(' ')
}

const CLAUDE = 'api.anthropic.com'
for (const [what, rules, request, expected] of [
  ['a named endpoint', DENY, { host: CLAUDE }, 'forward default/claude/0/0 strip anthropic set x-api-key'],
  [
    'a query does not count',
    DENY,
    { host: CLAUDE, path: '/v1/messages?a=/../b' },
    'forward default/claude/0/0 strip anthropic set x-api-key',
  ],
  ['a glob', DENY, { host: CLAUDE, path: '/v1/models/x' }, 'forward default/claude/0/0 strip anthropic set x-api-key'],
  ['* does not cross /', DENY, { host: CLAUDE, path: '/v1/models/x/y' }, 'ENDPOINT_NOT_ALLOWED'],
  ['another endpoint', DENY, { host: CLAUDE, path: '/v1/files' }, 'ENDPOINT_NOT_ALLOWED'],
  ['the same under allow-all (T34)', ALLOW, { host: CLAUDE, path: '/v1/files' }, 'forward - strip anthropic'],
  [
    'the same under audit',
    AUDIT,
    { host: CLAUDE, path: '/v1/files' },
    'forward - strip anthropic (would ENDPOINT_NOT_ALLOWED)',
  ],
  [
    'a provider without a route under allow-all keeps what the agent brings',
    policy(gateway('defaultPolicy: allow-all')),
    { host: 'api.openai.com' },
    'forward - strip -',
  ],
  [
    'a provider that only an L4 rule names',
    policy(gateway(), l4('l', '{destinationHostnames: [api.openai.com]}')),
    { host: 'api.openai.com' },
    'forward - strip -',
  ],
  ['a host that is no provider', DENY, { host: 'a.com' }, 'forward - strip -'],
  ['a host that is not allowed any more (T67)', DENY, { host: 'b.com' }, 'NAME_NOT_ALLOWED'],
  [
    'custom, every path',
    DENY,
    { host: 'llm.corp.com', path: '/x/../y' },
    'forward default/own/0/0 strip custom set authorization',
  ],
  [
    'models, body not read',
    DENY,
    { host: 'api.openai.com', path: '/v1/chat/completions' },
    'read-body default/gpt/0/0',
  ],
  [
    'a named model',
    DENY,
    { host: 'api.openai.com', path: '/v1/chat/completions', model: 'gpt-4o' },
    'forward default/gpt/0/0 strip openai',
  ],
  ['another model', DENY, { host: 'api.openai.com', path: '/v1/chat/completions', model: 'o1' }, 'MODEL_NOT_ALLOWED'],
  [
    'a body that says no model',
    DENY,
    { host: 'api.openai.com', path: '/v1/chat/completions', model: { unreadable: 'x' } },
    'MODEL_UNREADABLE',
  ],
  [
    'the same under allow-all',
    ALLOW,
    { host: 'api.openai.com', path: '/v1/chat/completions', model: { unreadable: 'x' } },
    'forward - strip openai',
  ],
  [
    'another model under allow-all',
    ALLOW,
    { host: 'api.openai.com', path: '/v1/chat/completions', model: 'o1' },
    'forward - strip openai',
  ],
  [
    'the same under audit',
    AUDIT,
    { host: 'api.openai.com', path: '/v1/chat/completions', model: 'o1' },
    'forward - strip openai (would MODEL_NOT_ALLOWED)',
  ],
  [
    'no model where the next rule asks for none',
    LADDER,
    { host: 'api.openai.com', path: '/v1/models', model: { unreadable: 'x' } },
    'forward default/gpt/1/0 strip openai',
  ],
  [
    'a model of the second of two rules by model',
    LADDER,
    { host: 'api.openai.com', path: '/v1/chat/completions', model: 'o1' },
    'forward default/gpt/2/0 strip openai',
  ],
  [
    'an endpoint that no rule names is not read',
    DENY,
    { host: 'api.openai.com', path: '/v1/files' },
    'ENDPOINT_NOT_ALLOWED',
  ],
  [
    'an API with models in the path is not asked for one in the body',
    DENY,
    { host: 'generativelanguage.googleapis.com', path: '/v1beta/cachedContents', model: 'gemini-2' },
    'MODEL_UNREADABLE',
  ],
  [
    'but for paths of the OpenAI kind',
    DENY,
    { host: 'generativelanguage.googleapis.com', path: '/v1beta/openai/chat/completions', model: 'gemini-2' },
    'forward default/vertex/0/0 strip google',
  ],
  [
    'a custom route to a known host reads where that API says it',
    LADDER,
    { host: 'bedrock-runtime.us-east-1.amazonaws.com', path: '/async-invoke', model: 'cheap' },
    'MODEL_UNREADABLE',
  ],
  [
    'the same in the path',
    LADDER,
    { host: 'bedrock-runtime.us-east-1.amazonaws.com', path: '/model/cheap/invoke', model: 'dear' },
    'forward default/other/0/0 strip custom',
  ],
  [
    'a model in the path goes before the body',
    DENY,
    { host: 'generativelanguage.googleapis.com', path: '/v1beta/models/other:generateContent', model: 'gemini-2' },
    'MODEL_NOT_ALLOWED',
  ],
  [
    'plain HTTP never gets a credential (T89)',
    DENY,
    { host: CLAUDE, scheme: 'http', port: 80 },
    'forward - strip anthropic',
  ],
  ['nor another port', DENY, { host: CLAUDE, port: 8443 }, 'forward - strip anthropic'],
  ['plain HTTP to a provider on 443', DENY, { host: 'llm.corp.com', scheme: 'http' }, 'PLAIN_HTTP_NOT_ALLOWED'],
  ['a rule that cannot inject', FAULTY, { host: CLAUDE }, 'POLICY_BROKEN'],
  ['another Host (T03, T06)', DENY, { host: CLAUDE, authority: 'a.com' }, 'AUTHORITY_MISMATCH'],
  ['Host in another spelling (T10)', DENY, { host: 'a.com', authority: 'A.com.:443' }, 'forward - strip -'],
  ['Host with another port', DENY, { host: 'a.com', authority: 'a.com:80' }, 'AUTHORITY_MISMATCH'],
  ['Host is an address', DENY, { host: 'a.com', authority: '127.0.0.1' }, 'AUTHORITY_MISMATCH'],
  ['Host is an address in brackets', DENY, { host: 'a.com', authority: '[::1]:443' }, 'AUTHORITY_MISMATCH'],
  ['Host with userinfo (T10)', DENY, { host: 'a.com', authority: 'x@a.com' }, 'HTTP_MALFORMED'],
  ['two hosts in one', DENY, { host: 'a.com', authority: 'a.com, b.com' }, 'HTTP_MALFORMED'],
  ['an odd port', DENY, { host: 'a.com', authority: 'a.com:' }, 'HTTP_MALFORMED'],
  ['no Host', DENY, { host: 'a.com', authority: '' }, 'HTTP_MALFORMED'],
  ['TRACE (T39)', ALLOW, { host: 'a.com', method: 'TRACE' }, 'METHOD_NOT_ALLOWED'],
  ['track (T39)', ALLOW, { host: 'a.com', method: 'track' }, 'METHOD_NOT_ALLOWED'],
  ['CONNECT (T35)', ALLOW, { host: 'a.com', method: 'CONNECT', path: 'b.com:443' }, 'METHOD_NOT_ALLOWED'],
  ['absolute form (T08)', ALLOW, { host: 'a.com', path: 'http://b.com/' }, 'HTTP_MALFORMED'],
  ['OPTIONS *', ALLOW, { host: 'a.com', method: 'OPTIONS', path: '*' }, 'forward - strip -'],
  [
    'an ambiguous path where endpoints decide (T41)',
    ALLOW,
    { host: CLAUDE, path: '/v1/messages/%2e%2e/files' },
    'HTTP_MALFORMED',
  ],
  ['the same where none do', DENY, { host: 'a.com', path: '/v1/%2e%2e' }, 'forward - strip -'],
] as const satisfies readonly (readonly [string, Policy, Partial<RequestFacts> & { host: string }, string])[]) {
  test(`${what} → ${expected}`, () => assert.equal(show(rules, request), expected))
}

test('a path that an origin could read as another is refused with a reason (T41)', () => {
  const ambiguous = [
    ...[
      '/a/../b',
      '/a/./b',
      '/..',
      '/a/%2e%2e/b',
      '/a/%2E/b',
      '/a%2fb',
      '/a%5cb',
      '/a\\b',
      '/a//b',
      '//a',
      '/a;b=c',
      '/a%3bb',
    ],
    ...[
      '/a\0',
      '/a%00',
      '/a#b',
      '/a%23',
      '/a%252e',
      '/a%25',
      '/a%',
      '/a%2',
      '/a%zz',
      '/v1/%6dessages',
      '/a b',
      '/\x7f',
      '/é',
      'a',
    ],
  ]
  for (const path of ambiguous) assert.notEqual(pathProblem(path), null, path)
  for (const path of ['/', '/v1/messages', '/a..b/.c', '/a%20b', '/m:generate', '/%e2%82%ac', '/a%3A0', '/v1/']) {
    assert.equal(pathProblem(path), null, path)
  }
})
