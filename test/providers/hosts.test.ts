/** Whose host a name is decides where a credential may go: exact names, or labels, never a suffix alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CREDENTIAL_VARIABLES, PROVIDERS, providerById, providerOfHost } from '../../src/providers/registry.ts'

const OWNERS: readonly (readonly [string, string | null])[] = [
  ['api.openai.com', 'openai'],
  ['api.anthropic.com', 'anthropic'],
  ['generativelanguage.googleapis.com', 'google'],
  ['team.openai.azure.com', 'azure-openai'],
  ['a.b.openai.azure.com', 'azure-openai'],
  ['bedrock-runtime.us-east-1.amazonaws.com', 'bedrock'],
  ['bedrock-runtime-fips.us-gov-west-1.amazonaws.com', 'bedrock'],
  ['vpce-0a1b-2c3d.bedrock-runtime.eu-central-1.vpce.amazonaws.com', 'bedrock'],
  ['api.openai.com.evil.example', null],
  ['xapi.openai.com', null],
  ['openai.com', null],
  ['openai.azure.com', null],
  ['.openai.azure.com', null],
  ['evilopenai.azure.com', null],
  ['bedrock-runtime.us-east-1.amazonaws.com.evil.example', null],
  ['bedrock-runtime.evil.amazonaws.com', null],
  ['bedrock-runtime-x.us-east-1.amazonaws.com', null],
  ['evil.bedrock-runtime.us-east-1.vpce.amazonaws.com', null],
  ['vpce-1.bedrock-runtime.us-east-1.evil.amazonaws.com', null],
  ['vpce-1.vpce-svc-1.us-east-1.vpce.amazonaws.com', null],
  ['a.bedrock-runtime.us-east-1.amazonaws.com', null],
  ['bedrock-runtime.us-east-1.s3.amazonaws.com', null],
  ['', null],
]

for (const [name, owner] of OWNERS) {
  test(`«${name}» belongs to ${owner ?? 'nobody'}`, () => {
    assert.equal(providerOfHost(name)?.id ?? null, owner)
  })
}

test('every host that a provider lists is its own', () => {
  for (const { id, hosts } of PROVIDERS) {
    for (const host of hosts) assert.equal(providerOfHost(host.replace('*', 'vpce-1'))?.id, id)
  }
})

test('every name of a credential is lower case, and every provider removes the common ones', () => {
  for (const { id, authHeaders, authQueryParams } of PROVIDERS) {
    for (const name of [...authHeaders, ...authQueryParams]) assert.equal(name, name.toLowerCase())
    for (const common of ['authorization', 'proxy-authorization', 'cookie']) {
      assert.ok(authHeaders.includes(common), `${id}: ${common}`)
    }
    assert.equal(providerById(id).id, id)
  }
})

test('the variables of every provider are in the list of credentials', () => {
  for (const variable of [
    'ANTHROPIC_API_KEY',
    'ANTHROPIC_AUTH_TOKEN',
    'CLAUDE_CODE_OAUTH_TOKEN',
    'OPENAI_API_KEY',
    'CODEX_API_KEY',
    'GEMINI_API_KEY',
    'GOOGLE_API_KEY',
    'GOOGLE_GENERATIVE_AI_API_KEY',
    'AZURE_OPENAI_API_KEY',
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'AWS_BEARER_TOKEN_BEDROCK',
  ]) {
    assert.ok(CREDENTIAL_VARIABLES.includes(variable), variable)
  }
})
