/** What the stand-ins answer over HTTP, plain and TLS. Handlers see Node's parsed request; `Recorded` keeps the raw fields. */
import { spawn } from 'node:child_process'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { json, type Origins, parsed } from './answers.ts'
import { NAMES, type Role } from './names.ts'
import { openai } from './openai.ts'

/** One request as it arrived: header fields in their order, case and number. */
export type Recorded = {
  readonly role: Role
  readonly scheme: 'http' | 'https'
  /** SNI for https, the Host for http. */
  readonly server: string
  /** Counts connections: two requests with one number came over one connection. */
  readonly connection: number
  readonly method: string
  readonly target: string
  readonly fields: readonly (readonly [string, string])[]
  readonly body: string
}

/** Every value of `name` (any case) in a recorded request. */
export function valuesOf(request: Recorded, name: string): readonly string[] {
  return request.fields.filter(([field]) => field.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
}

/** Reads the body, calls `report`, then answers by the role of `server`. */
export async function answerRequest(
  origins: Origins,
  about: Pick<Recorded, 'scheme' | 'server' | 'connection'>,
  request: IncomingMessage,
  response: ServerResponse,
  report: (recorded: Recorded) => void,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  const named = NAMES[about.server]?.role ?? 'echo'
  const role = named === 'service' ? 'echo' : named
  const fields = pairs(request.rawHeaders)
  const { method = '', url: target = '' } = request
  const recorded = { ...about, role, method, target, fields, body: body.toString('latin1') }
  report(recorded)
  if (role === 'provider') return provider(origins, request, body, response)
  if (role === 'openai' && openai(origins, request, body, response)) return
  if (role === 'git') return git(origins, request, body, response)
  if (role === 'collector') return json(response, 200, {})
  json(response, 200, { method, target, fields, bodyBytes: body.length })
}

/** The Messages API's shape: 401 to a wrong key, JSON or events with usage to the right one. Echoes nothing. */
function provider({ isRightKey }: Origins, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  const key = request.headers['x-api-key']
  if (!isRightKey(typeof key === 'string' ? key : undefined)) {
    json(response, 401, { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } })
    return
  }
  const asked = parsed(body)
  const model = typeof asked.model === 'string' ? asked.model : 'claude-stand-in'
  const message = { id: 'msg_stand_in', type: 'message', role: 'assistant', model, stop_reason: 'end_turn' }
  if (asked.stream !== true) {
    const content = [{ type: 'text', text: 'Hello from the stand-in.' }]
    json(response, 200, { ...message, content, usage: { input_tokens: 11, output_tokens: 7 } })
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const events = [
    { type: 'message_start', message: { ...message, content: [], usage: { input_tokens: 11, output_tokens: 1 } } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hello from the stand-in.' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } },
    { type: 'message_stop' },
  ]
  for (const event of events) response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
  response.end()
}

/** Git's smart HTTP by its own `git http-backend` (CGI), for callers whose Basic password is a right key. */
function git(
  { repositories, isRightKey }: Origins,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): void {
  const basic = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString('latin1')
  if (!isRightKey(basic.split(':')[1])) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="stand-in"' }).end()
    return
  }
  const url = new URL(request.url ?? '/', 'https://github.com')
  const header = (name: string) => String(request.headers[name] ?? '')
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: repositories,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      GIT_PROTOCOL: header('git-protocol'),
    },
  })
  const out: Buffer[] = []
  backend.stdin.end(body)
  backend.stdout.on('data', chunk => out.push(chunk))
  backend.on('close', () => {
    const answer = Buffer.concat(out)
    const end = answer.indexOf('\r\n\r\n')
    const fields = answer
      .subarray(0, end)
      .toString('latin1')
      .split('\r\n')
      .map(line => line.split(': '))
    const status = Number(fields.find(([name]) => name === 'Status')?.[1]?.slice(0, 3) ?? 200)
    for (const [name, value] of fields)
      if (name !== undefined && name !== 'Status') response.setHeader(name, value ?? '')
    response.writeHead(status).end(answer.subarray(end + 4))
  })
}

function pairs(raw: readonly string[]): readonly (readonly [string, string])[] {
  return raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? ''] as const] : []))
}
