/** An exchange as the proxy would hand it over, for tests that change one thing in it. */
import { type BodyKind, createBodyTap } from '../../src/telemetry/body-tap.ts'
import type { Exchange, Subject } from '../../src/telemetry/exchange.ts'

export const CAPTURE = {
  maxBytes: 65_536,
  includeContentTypes: ['application/json', 'application/x-ndjson', 'text/event-stream'],
}

export const REQUEST =
  '{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"The user says hi"}]}'
export const RESPONSE =
  '{"id":"msg_1","type":"message","model":"claude-sonnet-4-5-20250929","content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":8,"output_tokens":12}}'

type Parts = { requestBody?: readonly Buffer[]; responseBody?: readonly Buffer[]; capture?: typeof CAPTURE | null }

export type Changes = Partial<Omit<Exchange, 'requestBody' | 'responseBody' | 'subject'>> & Partial<Subject> & Parts

const SUBJECT: Subject = {
  gateway: 'default/echo-bot',
  sandbox: {
    id: 'echo-bot-1',
    agentKind: 'TaskAgent',
    agentNamespace: 'default',
    agentName: 'echo-bot',
    runtime: 'local',
  },
  scheme: 'https',
  name: 'api.anthropic.com',
  port: 443,
  provider: 'anthropic',
  rule: 'default/anthropic/0/0',
  route: 'default/anthropic',
}

/** Exchanges without a change of it have one subject, as those of one connection do. */
export function exchange(changes: Changes = {}): Exchange {
  const { gateway, sandbox, scheme, name, port, provider, rule, route, ...rest } = { ...SUBJECT, ...changes }
  const subject: Subject = { gateway, sandbox, scheme, name, port, provider, rule, route }
  const {
    requestBody = [Buffer.from(REQUEST)],
    responseBody = [Buffer.from(RESPONSE)],
    capture = CAPTURE,
    ...own
  } = rest
  const requestHead =
    changes.requestHead ??
    'Host: api.anthropic.com\r\nContent-Type: application/json\r\nX-Api-Key: clrk-injected-by-proxy\r\nUser-Agent: test/1\r\n'
  const responseHead = changes.responseHead ?? 'Content-Type: application/json\r\nrequest-id: req_1\r\n'
  const up = tapped(requestBody, requestHead, 'request', capture)
  const down = tapped(responseBody, responseHead, 'response', capture)
  return {
    subject: Object.keys(SUBJECT).some(key => key in changes) ? subject : SUBJECT,
    startMs: 1_767_225_600_000,
    endMs: 1_767_225_600_012.4,
    method: 'POST',
    target: '/v1/messages',
    status: 200,
    error: null,
    injected: ['x-api-key'],
    traceparent: null,
    ...own,
    requestHead,
    responseHead,
    requestBody: up.body,
    requestBodyBytes: up.bytes,
    requestTruncated: up.truncated,
    responseBody: down.body,
    responseBodyBytes: down.bytes,
    responseTruncated: down.truncated,
    responseChunks: down.chunks,
    usageEvents: down.usageEvents,
  }
}

function tapped(
  chunks: readonly Buffer[],
  head: string,
  direction: 'request' | 'response',
  capture: typeof CAPTURE | null,
) {
  const tap = createBodyTap(capture, kindOf(head), direction)
  for (const chunk of chunks) tap.push(chunk, 0, chunk.length)
  return tap.end()
}

/** As the proxy reads it from a parsed head. */
export function kindOf(head: string): BodyKind {
  const value = (name: string) => new RegExp(`^${name}:[ \\t]*([^\r\n]*)`, 'im').exec(head)?.[1] ?? ''
  return { type: value('content-type').toLowerCase(), encoded: value('content-encoding') !== '' }
}

/** The canary of these tests: it has what percent-encoding, JSON and base64's second alphabet change. */
export const SECRET = 'sk-ant-CANARY/7f3a+9b"2c~ÿ>d41??e8'
