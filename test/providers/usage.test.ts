/** Tokens, models and operations are read from what the APIs really answer; hostile answers show nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Usage } from '../../src/providers/provider.ts'
import { PROVIDERS, providerById } from '../../src/providers/registry.ts'

type Row = { provider: Parameters<typeof providerById>[0]; what: string; usage: Usage | null } & (
  | { body: string }
  | { events: readonly string[] }
)

const ROWS: readonly Row[] = [
  {
    provider: 'anthropic',
    what: 'a message',
    body: '{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":8,"cache_read_input_tokens":0,"output_tokens":12}}',
    usage: { inputTokens: 8, outputTokens: 12, model: 'claude-sonnet-4-5' },
  },
  {
    provider: 'anthropic',
    what: 'a stream: input from message_start, output from the last message_delta',
    events: [
      '{"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":{"input_tokens":25,"output_tokens":1}}}',
      '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}',
      '{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":7}}',
      '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}',
      '{"type":"message_stop"}',
    ],
    usage: { inputTokens: 25, outputTokens: 15, model: 'claude-sonnet-4-5' },
  },
  {
    provider: 'openai',
    what: 'a chat completion',
    body: '{"id":"c","object":"chat.completion","model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}',
    usage: { inputTokens: 19, outputTokens: 10, model: 'gpt-4o-2024-08-06' },
  },
  {
    provider: 'openai',
    what: 'a response',
    body: '{"id":"resp_1","object":"response","model":"gpt-4.1","usage":{"input_tokens":36,"output_tokens":87,"total_tokens":123}}',
    usage: { inputTokens: 36, outputTokens: 87, model: 'gpt-4.1' },
  },
  {
    provider: 'openai',
    what: 'embeddings',
    body: '{"object":"list","data":[],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}',
    usage: { inputTokens: 8, outputTokens: null, model: 'text-embedding-3-small' },
  },
  {
    provider: 'openai',
    what: 'a chat stream: its last chunk, before [DONE]',
    events: [
      '{"object":"chat.completion.chunk","model":"gpt-4o","choices":[{"delta":{"content":"Hi"}}],"usage":null}',
      '{"object":"chat.completion.chunk","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}',
      '[DONE]',
    ],
    usage: { inputTokens: 9, outputTokens: 3, model: 'gpt-4o' },
  },
  {
    provider: 'openai',
    what: 'a response stream: response.completed',
    events: [
      '{"type":"response.created","response":{"model":"gpt-4.1","usage":null}}',
      '{"type":"response.completed","response":{"model":"gpt-4.1","usage":{"input_tokens":37,"output_tokens":11}}}',
    ],
    usage: { inputTokens: 37, outputTokens: 11, model: 'gpt-4.1' },
  },
  {
    provider: 'azure-openai',
    what: 'a chat completion',
    body: '{"model":"gpt-4o","usage":{"prompt_tokens":1,"completion_tokens":2}}',
    usage: { inputTokens: 1, outputTokens: 2, model: 'gpt-4o' },
  },
  {
    provider: 'google',
    what: 'generateContent',
    body: '{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":31,"totalTokenCount":35},"modelVersion":"gemini-2.5-flash"}',
    usage: { inputTokens: 4, outputTokens: 31, model: 'gemini-2.5-flash' },
  },
  {
    provider: 'google',
    what: 'streamGenerateContent without alt=sse',
    body: '[{"usageMetadata":{"promptTokenCount":4}},{"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9},"modelVersion":"gemini-2.5-pro"}]',
    usage: { inputTokens: 4, outputTokens: 9, model: 'gemini-2.5-pro' },
  },
  {
    provider: 'google',
    what: 'the OpenAI-compatible paths',
    body: '{"model":"gemini-2.5-flash","usage":{"prompt_tokens":6,"completion_tokens":5}}',
    usage: { inputTokens: 6, outputTokens: 5, model: 'gemini-2.5-flash' },
  },
  {
    provider: 'bedrock',
    what: 'Converse',
    body: '{"output":{"message":{}},"stopReason":"end_turn","usage":{"inputTokens":30,"outputTokens":628,"totalTokens":658}}',
    usage: { inputTokens: 30, outputTokens: 628, model: null },
  },
  {
    provider: 'custom',
    what: 'an OpenAI-compatible server',
    body: '{"model":"llama","usage":{"prompt_tokens":2,"completion_tokens":3}}',
    usage: { inputTokens: 2, outputTokens: 3, model: 'llama' },
  },
]

for (const row of ROWS) {
  test(`${row.provider}: usage of ${row.what}`, () => {
    const provider = providerById(row.provider)
    assert.deepEqual('body' in row ? provider.usageOfBody(row.body) : provider.usageOfEvents(row.events), row.usage)
  })
}

const HOSTILE = [
  ...['', 'null', '[]', '7', '"x"', '{', '\u0000', '{"usage":null}', '{"usage":[]}', '{"usage":{}}', '{"message":3}'],
  '{"usage":{"input_tokens":-1,"output_tokens":1e400,"prompt_tokens":"8","completion_tokens":1.5}}',
  '{"usageMetadata":{"promptTokenCount":{}}}',
  '{"__proto__":{"usage":{"input_tokens":1}},"usage":"x"}',
  `${'['.repeat(200_000)}`,
  `${'[{"usageMetadata":'.repeat(50_000)}`,
  `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
]

test('a hostile answer shows no usage, and nothing throws (T114)', () => {
  for (const provider of PROVIDERS) {
    for (const body of HOSTILE) {
      assert.equal(provider.usageOfBody(body), null, `${provider.id} ${body.slice(0, 40)}`)
      assert.equal(provider.usageOfEvents([body, body]), null)
    }
  }
})

const OPERATIONS: readonly (readonly [Parameters<typeof providerById>[0], string, string | null, string | null])[] = [
  ['openai', '/v1/chat/completions', 'chat', null],
  ['openai', '/v1/completions', 'text_completion', null],
  ['openai', '/v1/embeddings', 'embeddings', null],
  ['openai', '/v1/responses', null, null],
  ['openai', '/chat/completions', null, null],
  ['anthropic', '/v1/messages', 'chat', null],
  ['anthropic', '/v1/complete', 'text_completion', null],
  ['anthropic', '/v1/messages/batches', null, null],
  ['google', '/v1beta/models/gemini-2.5-flash:generateContent', 'chat', 'gemini-2.5-flash'],
  ['google', '/v1beta/models/gemini-2.5-flash:streamGenerateContent', 'chat', 'gemini-2.5-flash'],
  ['google', '/v1beta/models/text-embedding-004:embedContent', 'embeddings', 'text-embedding-004'],
  ['google', '/v1beta/models/text-embedding-004:batchEmbedContents', 'embeddings', 'text-embedding-004'],
  ['google', '/v1beta/openai/chat/completions', 'chat', null],
  ['azure-openai', '/openai/deployments/my-gpt/chat/completions', 'chat', 'my-gpt'],
  ['azure-openai', '/openai/v1/chat/completions', 'chat', null],
  ['azure-openai', '/chat/completions', null, null],
  [
    'bedrock',
    '/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse',
    'chat',
    'anthropic.claude-3-haiku-20240307-v1:0',
  ],
  ['bedrock', '/model/m/converse-stream', 'chat', 'm'],
  ['bedrock', '/model/%ff/invoke', null, null],
  ['custom', '/v1/chat/completions', null, null],
]

for (const [id, path, operation, model] of OPERATIONS) {
  test(`${id}: ${path} is ${operation ?? 'no known operation'}`, () => {
    assert.equal(providerById(id).operation(path), operation)
    assert.equal(providerById(id).modelOfPath(path), model)
  })
}
