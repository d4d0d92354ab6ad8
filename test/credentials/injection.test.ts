import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isForeignCredential, planInjection } from '../../src/credentials/inject.ts'
import type { Credential } from '../../src/policy/policy.ts'
import { secretValue } from '../../src/secrets/value.ts'

const credential: Credential = {
  policy: 'default/anthropic',
  secret: { secret: 'default/anthropic-credentials', key: 'api-key' },
  target: 'Header',
  headerName: 'x-api-key',
}
const secrets = (value: string) => (name: string) =>
  name === 'default/anthropic-credentials/api-key' ? secretValue(name, value) : undefined

function injected(result: ReturnType<typeof planInjection>) {
  assert.ok(!('fault' in result), 'expected an injection')
  return result
}

test('every credential header of the provider goes, the policy’s is set', () => {
  const { remove, set } = injected(planInjection('anthropic', [credential], '/v1/messages', secrets('sk-real-key\n')))
  assert.deepEqual(set, [['x-api-key', 'sk-real-key']])
  assert.deepEqual(['x-api-key', 'authorization', 'proxy-authorization', 'content-type', 'user-agent'].map(remove), [
    true,
    true,
    true,
    false,
    false,
  ])
})

test('a missing or unusable secret is a fault that names it, never its value (T95, T96)', () => {
  for (const value of [undefined, '', 'two\nlines', 'nul\0', ' padded', 'ünicode-key', '7 chars']) {
    const result = planInjection('anthropic', [credential], '/', name =>
      value === undefined ? undefined : secretValue(name, value),
    )
    assert.ok('fault' in result, `accepted ${JSON.stringify(value)}`)
    assert.deepEqual(result.fault, {
      code: 'CLRK_SECRET_MISSING',
      details: { secret: 'default/anthropic-credentials', key: 'api-key' },
    })
  }
})

test('credential parameters leave the target in every spelling, the rest stays byte for byte', () => {
  const cases = [
    ['/v1beta/models?key=AIza&alt=sse', '/v1beta/models?alt=sse'],
    ['/v1beta/models?alt=sse&KEY=AIza', '/v1beta/models?alt=sse'],
    ['/v1beta/models?%6bey=AIza', '/v1beta/models'],
    ['/v1beta/models?a=1;key=AIza;b=2', '/v1beta/models?a=1;b=2'],
    ['/v1beta/models?a=%2F+x&b', '/v1beta/models?a=%2F+x&b'],
    ['/v1beta/models?monkey=1', '/v1beta/models?monkey=1'],
  ] as const
  for (const [given, expected] of cases) {
    assert.equal(injected(planInjection('google', [], given, secrets('x'))).target, expected)
  }
})

test('where no provider is meant nothing is touched', () => {
  const { remove, set, target } = injected(planInjection(null, [], '/?key=1', secrets('x')))
  assert.equal(remove('authorization'), false)
  assert.deepEqual(set, [])
  assert.equal(target, '/?key=1')
})

test('the placeholder is nobody’s credential', () => {
  assert.equal(isForeignCredential('clrk-injected-by-proxy'), false)
  assert.equal(isForeignCredential('Bearer clrk-injected-by-proxy'), false)
  assert.equal(isForeignCredential('Bearer sk-foreign'), true)
})
