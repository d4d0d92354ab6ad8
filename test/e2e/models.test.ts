/** A route by model with the real OpenAI SDK: the model that it names answers, another is refused in words that the SDK shows. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { callerEnvironment, makeProject } from '../compat/tools.ts'
import { auditLines, clrkRun } from '../world/clrk.ts'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld } from '../world/world.ts'

test('the OpenAI SDK under a route that names models', async t => {
  const world = await createWorld(t)
  const workspace = makeProject(world)
  const match = { provider: 'openai', endpoints: ['/v1/chat/completions'], models: ['gpt-stand-*'] }
  const manifests = [
    ...[gateway(), providerRoute(match, 'openai'), injection('openai', 'authorization')],
    secret('openai-credentials', { 'api-key': `Bearer ${world.key}` }),
  ]
  const argv = ['node', '--input-type=module', '-e', SCRIPT]
  const env = callerEnvironment(world)
  const { code, stdout, stderr } = await clrkRun(world, argv, { manifests, workspace, cwd: workspace, env })
  assert.equal(code, 0, stderr)
  const { plain, stream, refused } = JSON.parse(stdout)
  assert.deepEqual([plain, stream], ['Hello from the stand-in.', 'Hello from the stand-in.'])
  assert.equal(refused.status, 403)
  assert.match(refused.message, /names model gpt-dear on \/v1\/chat\/completions/)
  assert.match(refused.message, /models: \[/)
  const requests = await world.requests()
  assert.deepEqual(
    requests.map(request => [request.target, valuesOf(request, 'authorization'), JSON.parse(request.body).model]),
    [1, 2].map(() => ['/v1/chat/completions', [`Bearer ${world.key}`], 'gpt-stand-in']),
  )
  assert.ok(!`${stdout}${stderr}`.includes(world.key))
  assert.deepEqual(
    auditLines(world).map(({ action, fault }) => [action, fault.code]),
    [['denied', 'CLRK_MODEL_NOT_ALLOWED']],
  )
  assert.deepEqual(await world.arrivals(), [])
})

const SCRIPT = `
import OpenAI from 'openai'
const client = new OpenAI({ maxRetries: 0 })
const ask = (model, more = {}) => client.chat.completions.create({ model, messages: [{ role: 'user', content: 'hi' }], ...more })
const plain = (await ask('gpt-stand-in')).choices[0].message.content
let stream = ''
for await (const chunk of await ask('gpt-stand-in', { stream: true })) stream += chunk.choices[0]?.delta.content ?? ''
const refused = await ask('gpt-dear').catch(({ status, message, error }) => ({ status, message: message + JSON.stringify(error ?? null) }))
console.log(JSON.stringify({ plain, stream, refused }))
`
