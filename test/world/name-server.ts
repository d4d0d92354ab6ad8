/** The pretend internet's name server, UDP and TCP; reports every question that reaches it. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type Answer, AUTHORITATIVE_ANSWER, decode, encode, type Packet } from 'dns-packet'
import { NAMES } from './names.ts'

export type Query = { readonly name: string; readonly type: string; readonly transport: 'udp' | 'tcp' }

/** Listens on `address`:53. `report` is called before the answer leaves. */
export async function startNameServer(address: string, report: (query: Query) => void): Promise<void> {
  const udp = createSocket('udp4')
  udp.on('message', (message, peer) => udp.send(answer(message, 'udp', report), peer.port, peer.address))
  udp.bind(53, address)
  await once(udp, 'listening')

  const tcp = createServer(socket => {
    let pending = Buffer.alloc(0)
    socket.on('error', () => socket.destroy())
    socket.on('data', chunk => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const end = 2 + pending.readUInt16BE(0)
        const reply = answer(pending.subarray(2, end), 'tcp', report)
        const length = Buffer.alloc(2)
        length.writeUInt16BE(reply.length)
        socket.write(Buffer.concat([length, reply]))
        pending = pending.subarray(end)
      }
    })
  })
  tcp.listen(53, address)
  await once(tcp, 'listening')
}

function answer(message: Buffer, transport: Query['transport'], report: (query: Query) => void): Buffer {
  const { id, questions = [] } = decode(message)
  const question = questions[0]
  if (question === undefined) return encode({ type: 'response', id: id ?? 0, flags: 1 })
  const name = question.name.toLowerCase()
  report({ name, type: question.type, transport })
  const known = NAMES[name]
  const addresses = question.type === 'A' ? known?.v4 : question.type === 'AAAA' ? known?.v6 : []
  const answers = (addresses ?? []).map(
    data => ({ type: question.type, name: question.name, ttl: 30, data }) as unknown as Answer,
  )
  const packet: Packet = {
    type: 'response',
    id: id ?? 0,
    flags: AUTHORITATIVE_ANSWER | (known === undefined ? NXDOMAIN : 0),
    questions: [question],
    answers,
  }
  return encode(packet)
}

const NXDOMAIN = 3
