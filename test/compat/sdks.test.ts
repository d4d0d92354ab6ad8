/** The providers' own SDKs, plain and streaming: each gets its answer with the key that it does not have. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { clrkRun, startWorker } from '../world/clrk.ts'
import { injection, mainJob, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment, makeProject } from './tools.ts'

test('SDKs of Anthropic and OpenAI in TypeScript and Python, plain and streaming', async t => {
  const world = await createWorld(t)
  const workspace = makeProject(world)
  await startWorker(world, [])
  const manifests = [
    ...mainJob(world.key),
    providerRoute({ provider: 'openai', endpoints: ['/v1/chat/completions'] }, 'openai'),
    injection('openai', 'authorization'),
    secret('openai-credentials', { 'api-key': `Bearer ${world.key}` }),
  ]
  const env = callerEnvironment(world)
  for (const { name, argv, server, field, value } of clients(world.key)) {
    await t.test(name, async () => {
      const earlier = (await world.requests()).length
      const run = await clrkRun(world, argv, { manifests, workspace, cwd: workspace, env })
      assert.equal(run.code, 0, run.stderr)
      assert.deepEqual(run.stdout.trimEnd().split('\n'), [
        'plain Hello from the stand-in. 11 7',
        'stream Hello from the stand-in. 11 7',
      ])
      const requests = (await world.requests()).slice(earlier)
      assert.deepEqual(
        requests.map(request => [request.server, valuesOf(request, field)]),
        [1, 2].map(() => [server, [value]]),
      )
      assert.ok(!`${run.stdout}${run.stderr}`.includes(world.key))
    })
  }
  assert.deepEqual(await world.arrivals(), [])
})

function clients(key: string) {
  const anthropic = { server: 'api.anthropic.com', field: 'x-api-key', value: key }
  const openai = { server: 'api.openai.com', field: 'authorization', value: `Bearer ${key}` }
  return [
    { name: 'Anthropic, TypeScript', argv: typescript(ANTHROPIC_TYPESCRIPT), ...anthropic },
    { name: 'Anthropic, Python', argv: ['python', '-c', ANTHROPIC_PYTHON], ...anthropic },
    { name: 'OpenAI, TypeScript', argv: typescript(OPENAI_TYPESCRIPT), ...openai },
    { name: 'OpenAI, Python', argv: ['python', '-c', OPENAI_PYTHON], ...openai },
  ]
}

function typescript(code: string): readonly string[] {
  return ['node', '--input-type=module-typescript', '-e', code]
}

const ANTHROPIC_TYPESCRIPT = `
import Anthropic from '@anthropic-ai/sdk'
const client: Anthropic = new Anthropic()
const asked = { model: 'claude-stand-in', max_tokens: 16, messages: [{ role: 'user' as const, content: 'hi' }] }
const { content, usage } = await client.messages.create(asked)
console.log('plain', content[0].text, usage.input_tokens, usage.output_tokens)
const stream = client.messages.stream(asked)
let text = ''
stream.on('text', delta => { text += delta })
const final = await stream.finalMessage()
console.log('stream', text, final.usage.input_tokens, final.usage.output_tokens)
`
const ANTHROPIC_PYTHON = `
import anthropic
client = anthropic.Anthropic()
asked = dict(model="claude-stand-in", max_tokens=16, messages=[dict(role="user", content="hi")])
message = client.messages.create(**asked)
print("plain", message.content[0].text, message.usage.input_tokens, message.usage.output_tokens)
with client.messages.stream(**asked) as stream:
    text = "".join(stream.text_stream)
    usage = stream.get_final_message().usage
print("stream", text, usage.input_tokens, usage.output_tokens)
`
const OPENAI_TYPESCRIPT = `
import OpenAI from 'openai'
const client: OpenAI = new OpenAI()
const asked = { model: 'gpt-stand-in', messages: [{ role: 'user' as const, content: 'hi' }] }
const { choices, usage } = await client.chat.completions.create(asked)
console.log('plain', choices[0].message.content, usage.prompt_tokens, usage.completion_tokens)
let text = ''
let last
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  text += chunk.choices[0]?.delta.content ?? ''
  last = chunk.usage ?? last
}
console.log('stream', text, last.prompt_tokens, last.completion_tokens)
`
const OPENAI_PYTHON = `
import openai
client = openai.OpenAI()
asked = dict(model="gpt-stand-in", messages=[dict(role="user", content="hi")])
message = client.chat.completions.create(**asked)
print("plain", message.choices[0].message.content, message.usage.prompt_tokens, message.usage.completion_tokens)
text = ""
for chunk in client.chat.completions.create(**asked, stream=True):
    text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    usage = chunk.usage
print("stream", text, usage.prompt_tokens, usage.completion_tokens)
`
