import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { loadExample } from '../../src/cli/load-files.ts'
import { type MockProvider, planMockProvider, startMockProvider } from '../../src/cli/mock-provider.ts'
import { anthropic } from '../../src/providers/anthropic.ts'
import { openai } from '../../src/providers/openai.ts'

const EXAMPLE = loadExample(new URL('../../examples/echo-bot', import.meta.url).pathname)
const OPENAI = `kind: AIProviderRoute
metadata: {name: openai}
spec: {rules: [{matches: [{provider: openai}, {provider: google}]}]}
---
kind: CredentialInjectionPolicy
metadata: {name: openai}
spec:
  targetRefs: [{kind: AIProviderRoute, name: openai}]
  secretRef: {name: openai}
  headerName: Authorization
`

async function post(mock: MockProvider, host: string, path: string, headers: Record<string, string>, body: unknown) {
  const call = request({
    host: mock.address,
    servername: host,
    ca: mock.authority,
    method: 'POST',
    path,
    headers: { host, ...headers },
    agent: false,
  })
  call.end(JSON.stringify(body))
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  return { status: response.statusCode, body: await text(response) }
}

const QUESTION = { model: 'm-1', max_tokens: 9, messages: [{ role: 'user', content: 'hello there' }] }
const dataOf = (events: string) =>
  events.split('\n').flatMap(line => (line.startsWith('data: ') ? [line.slice('data: '.length)] : []))

test('the stand-in for Anthropic wants the key of the manifests and answers in its shapes', async t => {
  const mock = await startMockProvider(planMockProvider(EXAMPLE, []))
  t.after(mock.close)
  assert.match(mock.address, /^127\./)
  assert.deepEqual(mock.hostnames, ['api.anthropic.com'])
  const ask = (key: string, body: unknown) =>
    post(mock, 'api.anthropic.com', '/v1/messages', { 'x-api-key': key }, body)

  const wrong = await ask('clrk-injected-by-proxy', QUESTION)
  assert.equal(wrong.status, 401)
  assert.equal(JSON.parse(wrong.body).error.type, 'authentication_error')

  const right = await ask('sk-ant-not-a-real-key', QUESTION)
  assert.equal(right.status, 200)
  assert.equal(JSON.parse(right.body).content[0].text, 'You said: hello there')
  assert.deepEqual(anthropic.usageOfBody(right.body), { inputTokens: 10, outputTokens: 4, model: 'm-1' })

  const streamed = await ask('sk-ant-not-a-real-key', { ...QUESTION, stream: true })
  assert.deepEqual(anthropic.usageOfEvents(dataOf(streamed.body)), { inputTokens: 10, outputTokens: 4, model: 'm-1' })

  assert.equal((await ask('sk-ant-not-a-real-key', {})).status, 400)
})

test('the stand-in for OpenAI does the same, with a secret from the shell', async t => {
  const secrets = [{ name: 'openai', data: { token: 'Bearer sk-2' }, persist: false }]
  const mock = await startMockProvider(planMockProvider([{ path: 'a.yaml', text: OPENAI }], secrets))
  t.after(mock.close)
  assert.deepEqual(mock.unknown, ['google'])
  const ask = (authorization: string, body: unknown) =>
    post(mock, 'api.openai.com', '/v1/chat/completions', { authorization }, body)
  assert.equal((await ask('Bearer other', QUESTION)).status, 401)
  const right = await ask('Bearer sk-2', QUESTION)
  assert.deepEqual(openai.usageOfBody(right.body), { inputTokens: 10, outputTokens: 4, model: 'm-1' })
  const streamed = await ask('Bearer sk-2', { ...QUESTION, stream: true })
  assert.deepEqual(openai.usageOfEvents(dataOf(streamed.body)), { inputTokens: 10, outputTokens: 4, model: 'm-1' })
})

test('a secret from the shell replaces the one in the manifests', () => {
  const secrets = [{ name: 'anthropic-credentials', data: { 'api-key': 'sk-shell' }, persist: false }]
  const { hosts } = planMockProvider(EXAMPLE, secrets)
  assert.deepEqual(hosts[0]?.accepts, [{ header: 'x-api-key', value: 'sk-shell' }])
})

test('manifests that nobody can read plan no stand-in', () => {
  assert.deepEqual(planMockProvider([{ path: 'a', text: 'kind: Secret\ndata: 7\nspec: [' }], []).hosts, [])
})
