/** What was worked out for a request is what would be worked out now: a change holds from the next request on (T67). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRequestHead, type RequestHead } from '../../src/http1/head.ts'
import type { SandboxContext } from '../../src/proxy/context.ts'
import { createGateway } from '../../src/proxy/gateway.ts'
import { planOf, subjectOf } from '../../src/proxy/plan.ts'
import type { GatewayState } from '../../src/shard/protocol.ts'
import { host, policy } from '../policy/fixtures.ts'
import { ai, gateway, inject } from '../resources/fixtures.ts'

const NAME = host('api.origin.test')

function state(value: string, endpoints: string): GatewayState {
  const match = `{provider: custom, hostnames: [${NAME}], endpoints: [${endpoints}]}`
  return {
    policy: policy(
      gateway(),
      ai('own', match),
      inject('own', 'AIProviderRoute', 'own', 'X-Api-Key'),
      'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {token: x}\n',
    ),
    secrets: { 'default/keys/token': value },
    authority: '',
    additionalRoots: '',
  }
}

function open(first: GatewayState) {
  const made = createGateway('default/test', first, {
    roots: '',
    hostAddresses: () => new Set(),
    tee: () => {},
    warn: () => {},
  })
  const identity = { id: 's', agentKind: 'Run', agentNamespace: 'default', agentName: 'a', runtime: 'local' } as const
  const context = { gateway: made, identity } as SandboxContext // the rest is not asked for
  const authority = { scheme: 'https', name: NAME, port: 443 } as const
  const ask = (target: string, from = authority, said: string = NAME, method = 'GET') => {
    const { decision, injection } = planOf(context, from, head(target, said, method))
    if (decision.verdict !== 'forward') return decision.verdict === 'deny' ? decision.fault.code : decision.verdict
    return injection !== null && 'set' in injection ? injection.set : injection?.fault.code
  }
  return { made, context, authority, ask }
}

function head(target: string, said: string, method: string): RequestHead {
  const parsed = parseRequestHead(Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: ${said}\r\n`))
  assert.equal(parsed.kind, 'request')
  return parsed as RequestHead
}

test('another secret, and another policy, hold for the next request of an open connection', async () => {
  const { made, authority, ask } = open(state('first-secret', '/a'))
  const other = { ...authority } // another connection to the same
  for (const from of [authority, other]) assert.deepEqual(ask('/a', from), [['x-api-key', 'first-secret']])
  assert.equal(ask('/b'), 'CLRK_ENDPOINT_NOT_ALLOWED')

  made.update(state('second-secret', '/a'))
  for (const from of [authority, other]) assert.deepEqual(ask('/a', from), [['x-api-key', 'second-secret']])

  made.update(state('second-secret', '/b'))
  for (const from of [authority, other]) assert.equal(ask('/a', from), 'CLRK_ENDPOINT_NOT_ALLOWED')
  assert.deepEqual(ask('/b'), [['x-api-key', 'second-secret']])

  const { secrets: _, ...rest } = state('', '/b')
  made.update({ ...rest, secrets: {} })
  assert.equal(ask('/b'), 'CLRK_SECRET_MISSING')
  await made.close()
})

test('what was decided for one request is not decided for another', async () => {
  const { made, authority, ask } = open(state('a-secret', '/a, /a/*'))
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(ask('/a'), [['x-api-key', 'a-secret']])
    assert.equal(ask('/a', authority, 'api.other.test'), 'CLRK_AUTHORITY_MISMATCH')
    assert.equal(ask('/a', authority, `${NAME}, ${NAME}`), 'CLRK_HTTP_MALFORMED')
    assert.deepEqual(ask('/a', authority, 'API.Origin.Test:443'), [['x-api-key', 'a-secret']])
    assert.equal(ask('/a', authority, `${NAME}:8443`), 'CLRK_AUTHORITY_MISMATCH')
    assert.equal(ask('/a/../b'), 'CLRK_HTTP_MALFORMED')
    assert.equal(ask('/c?/a'), 'CLRK_ENDPOINT_NOT_ALLOWED')
    assert.equal(ask('/a', { ...authority, scheme: 'http' } as never), 'CLRK_PLAIN_HTTP_NOT_ALLOWED')
    for (let target = 0; target < 300; target++) {
      assert.deepEqual(ask(`/a/${target}`), [['x-api-key', 'a-secret']])
    }
  }
  await made.close()
})

test('telemetry calls the exchanges of all connections to a name by one subject, until policy changes', async () => {
  const { made, context, authority } = open(state('a-secret', '/a'))
  const subject = subjectOf(context, authority, null)
  assert.equal(subjectOf(context, { ...authority }, null), subject)
  assert.notEqual(subjectOf(context, { ...authority, port: 8443 }, null), subject)
  made.update(state('a-secret', '/a'))
  assert.notEqual(subjectOf(context, authority, null), subject)
  await made.close()
})
