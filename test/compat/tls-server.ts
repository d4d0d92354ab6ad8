/**
 * A TLS server on 127.0.0.1:443 of the network namespace that it runs in, for clients whose trust is in question. Reads
 * `{ key, certificate }` (PEM) from standard input; writes `ready`. For each finished handshake, which in TLS 1.3 means
 * that the client took the certificate, it appends a line to the file that its argument names: what ALPN offered, or
 * `none`. Answers `{}` in HTTP/1.1 or HTTP/2, whichever it settled.
 */
import { appendFileSync } from 'node:fs'
import { createServer as createHttp1 } from 'node:http'
import { createServer as createHttp2 } from 'node:http2'
import { text } from 'node:stream/consumers'
import { createServer, type TLSSocket } from 'node:tls'

const [, , log = ''] = process.argv
const { key, certificate } = JSON.parse(await text(process.stdin)) as { key: string; certificate: string }
const http1 = createHttp1((_request, response) => response.end('{}'))
const http2 = createHttp2().on('stream', stream => {
  stream.respond({ ':status': 200 })
  stream.end('{}')
})
http2.on('sessionError', () => {})
let offered = 'none'

const server = createServer({
  key,
  cert: certificate,
  minVersion: 'TLSv1.3', // in 1.2 a client may finish its part before it looks at the certificate
  ALPNCallback: ({ protocols }) => {
    offered = protocols.join(',')
    return protocols.includes('http/1.1') ? 'http/1.1' : protocols[0]
  },
})
server.on('tlsClientError', () => {
  offered = 'none'
})
server.on('secureConnection', (socket: TLSSocket) => {
  appendFileSync(log, `${offered}\n`)
  offered = 'none'
  socket.on('error', () => {})
  const speaker = socket.alpnProtocol === 'h2' ? http2 : http1
  speaker.emit('connection', socket)
})
server.listen(443, '127.0.0.1', () => process.stdout.write('ready\n'))
