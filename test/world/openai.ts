/** The Chat Completions API's shape: 401 to a wrong key, JSON or chunks with usage to the right one. Echoes nothing. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json, type Origins, parsed } from './answers.ts'

/** Answers unless `request` is none of that API. */
export function openai(
  { isRightKey }: Origins,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): boolean {
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') return false
  if (!isRightKey(/^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1])) {
    const error = { message: 'Incorrect API key provided.', type: 'invalid_request_error', code: 'invalid_api_key' }
    json(response, 401, { error })
    return true
  }
  const { model = 'gpt-stand-in', stream } = parsed(body)
  const about = { id: 'chatcmpl-stand-in', created: 1_700_000_000, model }
  const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }
  if (stream !== true) {
    const message = { role: 'assistant', content: WORDS.join(''), refusal: null }
    const choices = [{ index: 0, message, finish_reason: 'stop', logprobs: null }]
    json(response, 200, { ...about, object: 'chat.completion', choices, usage })
    return true
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const chunk = (delta: object, finish_reason: string | null) => ({
    ...{ ...about, object: 'chat.completion.chunk' },
    choices: [{ index: 0, delta, finish_reason, logprobs: null }],
  })
  const chunks = [
    ...WORDS.map(content => chunk({ role: 'assistant', content }, null)),
    chunk({}, 'stop'),
    { ...about, object: 'chat.completion.chunk', choices: [], usage },
  ]
  for (const value of chunks) response.write(`data: ${JSON.stringify(value)}\n\n`)
  response.end('data: [DONE]\n\n')
  return true
}

const WORDS = ['Hello ', 'from ', 'the ', 'stand-in.']
