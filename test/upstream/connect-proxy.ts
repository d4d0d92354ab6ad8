/**
 * An HTTP proxy on a world's far machine. argv: JSON `ProxyOptions`. Out: JSON lines (`ProxyReport`).
 *
 * What is asked for by port 443 and 80 leads to the stand-ins; on any other port a server speaks first, in the very
 * segment of the proxy's answer, and then echoes.
 */
import { connect, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { createPublicAuthority } from '../world/certificates.ts'
import { PORTS } from '../world/internet.ts'

export type ProxyOptions = {
  readonly port: number
  /** Speaks TLS, with a certificate of a CA of its own for this name. */
  readonly tls?: string
  /** The only Proxy-Authorization that it takes. */
  readonly credential?: string
  /** `HOST:PORT` or `PORT` → the whole answer, latin1, after which it closes. */
  readonly answers?: Readonly<Record<string, string>>
}

export type ProxyReport = { readonly authority: string } | { readonly head: string }

export const GREETING = 'SSH-2.0-first\r\n'

if (import.meta.main) main(JSON.parse(process.argv[2] ?? '{}'))

function main(options: ProxyOptions): void {
  const authority = createPublicAuthority(`Root of the proxy at ${options.port}`)
  const listener = (socket: Socket) => serve(socket, options)
  const server =
    options.tls === undefined
      ? createServer({ allowHalfOpen: true }, listener)
      : createTlsServer({ ...authority.leaf(options.tls), allowHalfOpen: true }, listener)
  server.on('tlsClientError', () => {})
  server.listen(options.port, '::', () => report({ authority: authority.certificate }))
}

function serve(socket: Socket, options: ProxyOptions): void {
  let head = ''
  socket.on('error', () => socket.destroy())
  socket.on('data', read)
  function read(chunk: Buffer): void {
    head += chunk.toString('latin1')
    if (!head.endsWith('\r\n\r\n')) return
    socket.off('data', read).pause()
    report({ head })
    answer(socket, head, options)
  }
}

function answer(socket: Socket, head: string, options: ProxyOptions): void {
  const [, target = '', port = ''] = /^CONNECT (\S+:(\d+)) /.exec(head) ?? []
  const given = /^Proxy-Authorization: (.*)\r$/m.exec(head)?.[1]
  const wrong = options.credential !== undefined && given !== options.credential
  const said = wrong ? `HTTP/1.1 407 ${given}\r\n\r\n` : (options.answers?.[target] ?? options.answers?.[port])
  if (said !== undefined) return void socket.resume().end(said, 'latin1')
  if (port !== '443' && port !== '80') {
    socket.write(`HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n${GREETING}`)
    return void socket.pipe(socket)
  }
  const onward = connect({ host: '127.0.0.1', port: port === '443' ? PORTS.https : PORTS.http, allowHalfOpen: true })
  socket.write('HTTP/1.0 200 OK\r\n\r\n')
  onward.on('error', () => socket.destroy()).on('close', () => socket.destroy())
  socket.on('close', () => onward.destroy())
  socket.pipe(onward).pipe(socket)
}

function report(line: ProxyReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
