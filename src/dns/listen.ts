/** The responder on a sandbox's sockets: UDP on 127.0.0.1 and ::1, TCP on both, from descriptors that were handed over. */

import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { forbidRebind } from '../kernel/syscalls.ts'
import { LIMITS } from '../limits.ts'
import { answerQuery, type NameAnswer } from './responder.ts'

export type DnsListeners = { readonly close: () => void }

/** Serves until `close`. `lookUp` as in `answerQuery`; a throwing one costs that query only. */
export function listenDns(
  descriptors: { readonly tcp: number; readonly udp4: number; readonly udp6: number },
  lookUp: (name: string) => Promise<NameAnswer>,
): DnsListeners {
  const udp = [openUdp('udp4', descriptors.udp4, lookUp), openUdp('udp6', descriptors.udp6, lookUp)]
  const tcp = openTcp(descriptors.tcp, lookUp)
  return {
    close: () => {
      for (const socket of udp) socket.close()
      tcp.close()
    },
  }
}

function openUdp(type: 'udp4' | 'udp6', fd: number, lookUp: (name: string) => Promise<NameAnswer>): UdpSocket {
  const socket = createSocket(type)
  socket.on('error', () => {})
  socket.on('message', (message, sender) => {
    if (message.length > LIMITS.dnsMessageBytes) return
    answerQuery(message, lookUp).then(
      reply => {
        if (reply !== null) socket.send(reply, sender.port, sender.address, () => {})
      },
      () => {},
    )
  })
  socket.bind({ fd })
  forbidRebind(fd)
  return socket
}

/** RFC 7766: each message behind a two-byte length, any number on one connection. */
function openTcp(fd: number, lookUp: (name: string) => Promise<NameAnswer>): Server {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.setTimeout(LIMITS.clientHelloMs, () => socket.destroy())
    serveTcp(socket, lookUp).catch(() => socket.destroy())
  })
  server.maxConnections = LIMITS.dnsConnectionsPerSandbox
  server.on('error', () => {})
  server.listen({ fd, backlog: 4096 })
  return server
}

async function serveTcp(socket: Socket, lookUp: (name: string) => Promise<NameAnswer>): Promise<void> {
  let waiting: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk])
    while (waiting.length >= 2) {
      const length = waiting.readUInt16BE(0)
      if (length > LIMITS.dnsMessageBytes) return void socket.destroy()
      if (waiting.length < 2 + length) break
      const reply = await answerQuery(waiting.subarray(2, 2 + length), lookUp)
      waiting = waiting.subarray(2 + length)
      if (reply === null) return void socket.destroy()
      const framed = Buffer.alloc(2 + reply.length)
      framed.writeUInt16BE(reply.length, 0)
      reply.copy(framed, 2)
      // Who asks and never reads must not fill our memory; the time-out ends it.
      if (!socket.write(framed)) await once(socket, 'drain')
    }
  }
  socket.end()
}
