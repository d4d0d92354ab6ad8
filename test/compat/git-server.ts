/**
 * Git's smart HTTP by its own `git http-backend` (CGI, RFC 3875), streaming both ways, pushes included. argv: port,
 * directory of bare repositories, right value of `authorization`. Out: `ready`, then a line a request: method, target
 * and how the body was framed. Wrong callers get 401.
 */
import { spawn } from 'node:child_process'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

const [, , port = '', repositories = '', authorization = ''] = process.argv

const server = createServer((request, response) => {
  const framed = request.headers['transfer-encoding'] ?? request.headers['content-length'] ?? 'none'
  process.stdout.write(`${request.method} ${request.url} ${framed}\n`)
  if (request.headers.authorization === authorization) serve(request, response)
  else response.writeHead(401, { 'www-authenticate': 'Basic realm="stand-in"' }).end()
})
server.listen(Number(port), '::', () => process.stdout.write('ready\n'))

function serve(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'https://gitlab.com')
  const { headers } = request
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: repositories,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_COUNT: '3',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      GIT_CONFIG_KEY_1: 'http.receivepack',
      GIT_CONFIG_VALUE_1: 'true',
      // Random bytes have no deltas; to look for them costs ten times what sending does.
      GIT_CONFIG_KEY_2: 'pack.window',
      GIT_CONFIG_VALUE_2: '0',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(headers['git-protocol'] ?? ''),
      ...(headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: headers['content-length'] }),
    },
  })
  request.pipe(backend.stdin).on('error', () => request.resume())
  let head = Buffer.alloc(0)
  backend.stdout.on('data', function onData(chunk: Buffer) {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    backend.stdout.off('data', onData)
    const fields = new Map(head.subarray(0, end).toString('latin1').split('\r\n').map(splitField))
    const status = Number((fields.get('Status') ?? '200').slice(0, 3))
    fields.delete('Status')
    response.writeHead(status, Object.fromEntries(fields)).write(head.subarray(end + 4))
    backend.stdout.pipe(response)
  })
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).trim()]
}
