/**
 * A TLS server on 127.0.0.1:443 of the network namespace that it runs in, for clients whose trust is in question. Reads
 * `{ key, certificate }` (PEM) from standard input; writes `ready`. For each request, which a client sends once it has
 * taken the certificate (some look at it when the handshake is over), it appends a line to the file that its argument
 * names: what ALPN offered, or `none`. Answers `{}` in HTTP/1.1 or HTTP/2, whichever it settled.
 */
import { appendFileSync } from 'node:fs'
import { createServer as createHttp1 } from 'node:http'
import { createServer as createHttp2 } from 'node:http2'
import { text } from 'node:stream/consumers'
import { createServer, type TLSSocket } from 'node:tls'

const [, , log = ''] = process.argv
const { key, certificate } = JSON.parse(await text(process.stdin)) as { key: string; certificate: string }
let offered = 'none'
const note = (what: string) => appendFileSync(log, `${what}\n`)

const offers = new WeakMap<object, string>()
const http1 = createHttp1((request, response) => {
  note(offers.get(request.socket) ?? 'none')
  response.end('{}')
})
const http2 = createHttp2()
http2.on('session', session => {
  const mine = offered
  session.on('error', () => {})
  session.on('stream', stream => {
    note(mine)
    stream.respond({ ':status': 200 })
    stream.end('{}')
  })
})

const server = createServer({
  key,
  cert: certificate,
  ALPNCallback: ({ protocols }) => {
    offered = protocols.join(',')
    return protocols.includes('http/1.1') ? 'http/1.1' : protocols[0]
  },
})
server.on('tlsClientError', () => {
  offered = 'none'
})
server.on('secureConnection', (socket: TLSSocket) => {
  socket.on('error', () => {})
  if (socket.alpnProtocol === 'h2') {
    http2.emit('connection', socket)
  } else {
    offers.set(socket, offered)
    http1.emit('connection', socket)
  }
  offered = 'none'
})
server.listen(443, '127.0.0.1', () => process.stdout.write('ready\n'))
