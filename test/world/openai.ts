/**
 * The shapes of the Chat Completions and the Responses API: 401 to a wrong key, JSON or events with usage to the right
 * one. Echoes nothing. A WebSocket at /v1/responses gets 426, after which clients use HTTP.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json, type Origins, parsed } from './answers.ts'

/** Answers unless `request` is none of those APIs. */
export function openai(
  { isRightKey }: Origins,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): boolean {
  const answer = ANSWERS[`${request.method} ${request.url}`]
  if (answer === undefined) return false
  if (!isRightKey(/^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1])) {
    const error = { message: 'Incorrect API key provided.', type: 'invalid_request_error', code: 'invalid_api_key' }
    json(response, 401, { error })
  } else {
    answer(parsed(body), response)
  }
  return true
}

const ANSWERS: Readonly<Record<string, (asked: Record<string, unknown>, response: ServerResponse) => void>> = {
  'POST /v1/chat/completions': ({ model = 'gpt-stand-in', stream }, response) => {
    const about = { id: 'chatcmpl-stand-in', created: 1_700_000_000, model }
    const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }
    if (stream !== true) {
      const message = { role: 'assistant', content: WORDS.join(''), refusal: null }
      const choices = [{ index: 0, message, finish_reason: 'stop', logprobs: null }]
      json(response, 200, { ...about, object: 'chat.completion', choices, usage })
      return
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
  },
  'POST /v1/responses': ({ model = 'gpt-stand-in', stream }, response) => {
    const content = [{ type: 'output_text', text: WORDS.join(''), annotations: [] }]
    const item = { id: 'msg_stand_in', type: 'message', status: 'completed', role: 'assistant', content }
    const about = { id: 'resp_stand_in', object: 'response', created_at: 1_700_000_000, model }
    const usage = { input_tokens: 11, output_tokens: 7, total_tokens: 18 }
    const whole = { ...about, status: 'completed', output: [item], usage }
    if (stream !== true) return json(response, 200, whole)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const place = { item_id: item.id, output_index: 0, content_index: 0 }
    const events = [
      { type: 'response.created', response: { ...about, status: 'in_progress', output: [] } },
      { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
      ...WORDS.map(delta => ({ type: 'response.output_text.delta', ...place, delta })),
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response: whole },
    ]
    for (const [sequence_number, event] of events.entries()) {
      response.write(`event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number })}\n\n`)
    }
    response.end()
  },
  'GET /v1/responses': (_asked, response) => void response.writeHead(426, { 'content-length': 0 }).end(),
}

const WORDS = ['Hello ', 'from ', 'the ', 'stand-in.']
