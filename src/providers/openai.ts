/** OpenAI, and the shape of usage that Azure and most compatible servers share with it. */
import { member, mergeUsage, modelName, parseJson, tokens } from './json.ts'
import type { Provider, Usage } from './provider.ts'

/** Usage of one JSON value: a whole answer, or one chunk of a stream (chat, completions, embeddings, responses). */
export function openaiUsage(value: unknown): Usage | null {
  const answer = member(value, 'response') ?? value // the events of /v1/responses wrap the answer
  const usage = member(answer, 'usage')
  const inputTokens = tokens(member(usage, 'prompt_tokens')) ?? tokens(member(usage, 'input_tokens'))
  const outputTokens = tokens(member(usage, 'completion_tokens')) ?? tokens(member(usage, 'output_tokens'))
  if (inputTokens === null && outputTokens === null) return null
  return { inputTokens, outputTokens, model: modelName(member(answer, 'model')) }
}

/** `gen_ai.operation.name` for what follows the API's prefix. */
export function openaiOperation(endpoint: string): string | null {
  switch (endpoint) {
    case '/chat/completions':
      return 'chat'
    case '/completions':
      return 'text_completion'
    case '/embeddings':
      return 'embeddings'
    default:
      return null
  }
}

export const openai: Provider = {
  id: 'openai',
  genAiSystem: 'openai',
  matchesHost: name => name === 'api.openai.com',
  hosts: ['api.openai.com'],
  // The last one: a WebSocket client may carry its key as the subprotocol `openai-insecure-api-key.<key>`.
  authHeaders: [
    'authorization',
    'openai-api-key',
    'api-key',
    'proxy-authorization',
    'cookie',
    'sec-websocket-protocol',
  ],
  authQueryParams: [],
  environment: ['OPENAI_API_KEY', 'OPENAI_ADMIN_KEY', 'CODEX_API_KEY'],
  operation: path => (path.startsWith('/v1/') ? openaiOperation(path.slice(3)) : null),
  modelOfPath: () => null,
  modelInBody: () => true,
  usageOfBody: body => openaiUsage(parseJson(body)),
  usageOfEvents: events => mergeUsage(events.map(event => openaiUsage(parseJson(event)))),
}
