/**
 * The process on the far side of a world's link: name server, TLS and plain HTTP stand-ins, and a sink that accepts
 * whatever else connects. Started by world.ts inside the internet's namespace; never listens anywhere else.
 *
 * argv: the repositories' directory and the prefix of right keys. Out: JSON lines (`Report`). In: `sync N` lines,
 * answered by `synced` once all that came before is written.
 */
import { once } from 'node:events'
import { createServer as createHttpServer, type Server } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { createInterface } from 'node:readline'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { createPublicAuthority } from './certificates.ts'
import { type Query, startNameServer } from './name-server.ts'
import { NAME_SERVER, NAMES, type Service } from './names.ts'
import { answerRequest, type Recorded } from './origins.ts'

export type Report =
  | { readonly type: 'ready'; readonly authority: string }
  | { readonly type: 'request'; readonly request: Recorded }
  | { readonly type: 'query'; readonly query: Query }
  | { readonly type: 'synced'; readonly number: number }

/** Where the namespace's nft rules lead what is meant for a stand-in, and all the rest. */
export const PORTS = { https: 8443, http: 8080, sink: 9000 } as const

if (import.meta.main) await main(process.argv[2] ?? '', process.argv[3] ?? '')

async function main(repositories: string, rightKeyPrefix: string): Promise<void> {
  const isRightKey = (value: string | undefined) => value?.startsWith(rightKeyPrefix) ?? false
  const authority = createPublicAuthority()
  const origins = { repositories, isRightKey }
  let connections = 0

  const plain = httpServer((request, response) => {
    const server = (request.headers.host ?? '').split(':')[0] ?? ''
    const about = { scheme: 'http', server, connection: numberOf(request.socket) } as const
    return answerRequest(origins, about, request, response, recorded => report({ type: 'request', request: recorded }))
  })
  const secure = httpServer((request, response) => {
    const server = String((request.socket as TLSSocket).servername || '')
    const about = { scheme: 'https', server, connection: numberOf(request.socket) } as const
    return answerRequest(origins, about, request, response, recorded => report({ type: 'request', request: recorded }))
  })
  const numbers = new WeakMap<object, number>()
  function numberOf(socket: object): number {
    const number = numbers.get(socket) ?? ++connections
    numbers.set(socket, number)
    return number
  }

  const tls = createTlsServer({
    ...authority.leaf('no-server-name.example.com'),
    ALPNCallback: ({ servername, protocols }) => {
      const spoken = serviceOf(servername)?.alpn ?? 'http/1.1'
      return protocols.includes(spoken) ? spoken : undefined
    },
    SNICallback: (name, done) => done(null, contextFor(name)),
  })
  function contextFor(name: string) {
    const role = NAMES[name]?.role
    if (role === 'expired') return authority.context(name, new Date(Date.now() - 86_400_000))
    return authority.context(role === 'wrong-name' ? 'elsewhere.example.com' : name)
  }
  tls.on('tlsClientError', () => {})
  tls.on('secureConnection', socket => {
    const service = serviceOf(String(socket.servername || ''))
    if (service === null) secure.emit('connection', socket)
    else splice(socket, service.port)
  })
  const sink = createTcpServer(socket => {
    socket.on('error', () => socket.destroy())
    socket.resume()
  })

  await startNameServer(NAME_SERVER, query => report({ type: 'query', query }))
  for (const [server, port] of [
    [tls, PORTS.https],
    [plain, PORTS.http],
    [sink, PORTS.sink],
  ] as const) {
    server.listen(port, '::')
    await once(server, 'listening')
  }
  report({ type: 'ready', authority: authority.certificate })
  for await (const line of createInterface({ input: process.stdin })) {
    report({ type: 'synced', number: Number(line.split(' ')[1]) })
  }
  process.exit(0)
}

function httpServer(
  handle: (...args: Parameters<Parameters<typeof createHttpServer>[1] & {}>) => Promise<void>,
): Server {
  const server = createHttpServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  // The proxy under test keeps connections open; a stand-in that closes first would make its reuse a matter of luck.
  server.keepAliveTimeout = 600_000
  return server
}

function serviceOf(name: string): Service | null {
  const standIn = NAMES[name]
  return standIn?.role === 'service' ? standIn : null
}

/** To the server that a test has started on `port`. */
function splice(socket: TLSSocket, port: number): void {
  const server = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  for (const [one, other] of [
    [socket, server],
    [server, socket],
  ] as const) {
    one.on('error', () => other.destroy()).on('close', () => other.destroy())
    one.pipe(other)
  }
}

function report(line: Report): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
