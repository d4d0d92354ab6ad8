/** What the stand-in provider says: the JSON, events and errors of the real ones, for any model, echoing the question. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'

export type MockProviderId = 'anthropic' | 'openai'

export const MOCK_HOSTS: readonly { readonly host: string; readonly provider: MockProviderId }[] = [
  { host: 'api.anthropic.com', provider: 'anthropic' },
  { host: 'api.openai.com', provider: 'openai' },
]

type Question = {
  readonly model: string
  readonly stream: boolean
  readonly words: readonly string[]
  readonly tokens: number
}

/** Answers one request; `right`: it carried the right credential. */
export async function mockAnswer(
  provider: MockProviderId,
  right: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const id = randomBytes(12).toString('hex')
  const json = (status: number, body: unknown) =>
    response
      .writeHead(status, { 'content-type': 'application/json', 'request-id': `req_${id}` })
      .end(JSON.stringify(body))
  const [path] = (request.url ?? '').split('?')
  const { errors, endpoint, message, events } = PROVIDERS[provider]
  let body: string
  try {
    body = await text(request)
  } catch {
    return // the client went
  }
  if (!right) return void json(401, errors.key(id))
  if (request.method !== 'POST' || path !== endpoint) return void json(404, errors.path(id, path ?? ''))
  const question = questionOf(body)
  if (question === null) return void json(400, errors.body(id))
  if (!question.stream) return void json(200, message(id, question))
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'request-id': `req_${id}` })
  for (const event of events(id, question)) response.write(event)
  response.end()
}

/** The last message of a chat, or null for what is none. */
function questionOf(body: string): Question | null {
  try {
    const { model, stream, messages } = JSON.parse(body)
    const { content } = messages.at(-1)
    const asked =
      typeof content === 'string' ? content : content.map((part: { text?: string }) => part.text ?? '').join(' ')
    const words = `You said: ${asked}`.split(/(?<= )/)
    return { model: String(model), stream: stream === true, words, tokens: asked.split(/\s+/).length + 8 }
  } catch {
    return null
  }
}

const anthropicError = (id: string, type: string, message: string) => ({
  type: 'error',
  error: { type, message },
  request_id: `req_${id}`,
})

const anthropicMessage = (id: string, { model, words, tokens }: Question) => ({
  id: `msg_${id}`,
  type: 'message',
  role: 'assistant',
  model,
  content: [{ type: 'text', text: words.join('') }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: tokens, output_tokens: words.length },
})

function anthropicEvents(id: string, question: Question): readonly string[] {
  const { usage, ...rest } = anthropicMessage(id, question)
  const message = { ...rest, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } }
  return [
    { type: 'message_start', message },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    ...question.words.map(word => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: word },
    })),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: question.words.length },
    },
    { type: 'message_stop' },
  ].map(event => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
}

const openaiError = (code: string, message: string) => ({
  error: { message, type: 'invalid_request_error', param: null, code },
})

const openaiUsage = ({ words, tokens }: Question) => ({
  prompt_tokens: tokens,
  completion_tokens: words.length,
  total_tokens: tokens + words.length,
})

const openaiMessage = (id: string, question: Question) => ({
  id: `chatcmpl-${id}`,
  object: 'chat.completion',
  created: Math.floor(Date.now() / 1000),
  model: question.model,
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: question.words.join(''), refusal: null },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: openaiUsage(question),
})

function openaiEvents(id: string, question: Question): readonly string[] {
  const { usage, choices, ...rest } = openaiMessage(id, question)
  const chunk = (delta: unknown, finish: string | null) => ({
    ...rest,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    usage: null,
  })
  return [
    chunk({ role: 'assistant', content: '' }, null),
    ...question.words.map(word => chunk({ content: word }, null)),
    chunk({}, 'stop'),
    { ...rest, object: 'chat.completion.chunk', choices: [], usage },
  ]
    .map(event => `data: ${JSON.stringify(event)}\n\n`)
    .concat('data: [DONE]\n\n')
}

const PROVIDERS = {
  anthropic: {
    endpoint: '/v1/messages',
    message: anthropicMessage,
    events: anthropicEvents,
    errors: {
      key: (id: string) => anthropicError(id, 'authentication_error', 'invalid x-api-key'),
      path: (id: string, path: string) => anthropicError(id, 'not_found_error', `Not found: ${path}`),
      body: (id: string) => anthropicError(id, 'invalid_request_error', 'messages: Field required'),
    },
  },
  openai: {
    endpoint: '/v1/chat/completions',
    message: openaiMessage,
    events: openaiEvents,
    errors: {
      key: () => openaiError('invalid_api_key', 'Incorrect API key provided.'),
      path: (_: string, path: string) => openaiError('unknown_url', `Unknown request URL: POST ${path}.`),
      body: () => openaiError('invalid_request', "Missing required parameter: 'messages'."),
    },
  },
} as const
