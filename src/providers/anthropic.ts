/** Anthropic. SDKs differ in the header: some send `x-api-key`, some `authorization: Bearer`. */
import { member, mergeUsage, modelName, parseJson, tokens } from './json.ts'
import type { Provider, Usage } from './provider.ts'

/** Usage of a message, of `message_start` (which wraps the message) or of `message_delta`. */
export function anthropicUsage(value: unknown): Usage | null {
  const message = member(value, 'message') ?? value
  const usage = member(message, 'usage')
  const inputTokens = tokens(member(usage, 'input_tokens'))
  const outputTokens = tokens(member(usage, 'output_tokens'))
  if (inputTokens === null && outputTokens === null) return null
  return { inputTokens, outputTokens, model: modelName(member(message, 'model')) }
}

export const anthropic: Provider = {
  id: 'anthropic',
  genAiSystem: 'anthropic',
  matchesHost: name => name === 'api.anthropic.com',
  hosts: ['api.anthropic.com'],
  authHeaders: ['x-api-key', 'authorization', 'anthropic-api-key', 'proxy-authorization', 'cookie'],
  authQueryParams: [],
  environment: ['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN', 'CLAUDE_CODE_OAUTH_TOKEN'],
  operation: path => (path === '/v1/messages' ? 'chat' : path === '/v1/complete' ? 'text_completion' : null),
  modelOfPath: () => null,
  modelInBody: () => true,
  usageOfBody: body => anthropicUsage(parseJson(body)),
  // message_start says the input, each message_delta the output so far.
  usageOfEvents: events => mergeUsage(events.map(event => anthropicUsage(parseJson(event)))),
}
