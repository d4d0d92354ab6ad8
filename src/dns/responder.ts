/**
 * Answers one DNS message from a sandbox (RFC 1035, RFC 6891) out of its own name table. Nothing is ever asked
 * upstream: DNS carries nothing out (T57, T60).
 */
import { type Answer, decode, encode, type Packet } from 'dns-packet'
import { LIMITS } from '../limits.ts'
import type { VirtualAddress } from './virtual-addresses.ts'

/** `null`: no such name (NXDOMAIN); `full`: the sandbox has used up its names (SERVFAIL). */
export type NameAnswer = VirtualAddress | 'full' | null

const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4 } as const
const RESPONSE = 0x8000
const OPCODE = 0x7800
const RECURSION_DESIRED = 0x0100
const RECURSION_AVAILABLE = 0x0080
const AUTHORITATIVE = 0x0400
const HEADER_BYTES = 12

/**
 * The answer to `message`, or null where none is owed (too short to have an id, or itself an answer). `lookUp` gets
 * the name as asked, without its trailing dot. A, AAAA: the virtual address; every other type: an empty NOERROR for a
 * name that exists (no ECH keys, no HTTP/3 hints: T21). Never throws on `message`.
 */
export async function answerQuery(
  message: Buffer,
  lookUp: (name: string) => Promise<NameAnswer>,
): Promise<Buffer | null> {
  if (message.length < HEADER_BYTES) return null
  const flags = message.readUInt16BE(2)
  if ((flags & RESPONSE) !== 0) return null
  if ((flags & OPCODE) !== 0) return failure(message, RCODE.NOTIMP)
  let query: Packet
  try {
    query = decode(message)
  } catch {
    return failure(message, RCODE.FORMERR)
  }
  const [question, ...more] = query.questions ?? []
  if (question === undefined || more.length > 0) return failure(message, RCODE.FORMERR)
  const name = question.name.replace(/\.$/, '')
  const answer = question.class === undefined || question.class === 'IN' ? await lookUp(name) : null
  if (answer === 'full') return failure(message, RCODE.SERVFAIL)

  const records: Answer[] = []
  if (answer !== null && question.type === 'A') {
    records.push({ type: 'A', name: question.name, ttl: LIMITS.dnsTtlSeconds, data: answer.ipv4 })
  }
  if (answer !== null && question.type === 'AAAA') {
    records.push({ type: 'AAAA', name: question.name, ttl: LIMITS.dnsTtlSeconds, data: answer.ipv6 })
  }
  const rcode = answer === null ? RCODE.NXDOMAIN : RCODE.NOERROR
  const edns = (query.additionals ?? []).some(record => record.type === 'OPT')
  try {
    return encode({
      type: 'response',
      id: query.id ?? 0,
      flags: (flags & RECURSION_DESIRED) | RECURSION_AVAILABLE | AUTHORITATIVE | rcode,
      questions: [question],
      answers: records,
      additionals: edns
        ? [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: LIMITS.dnsMessageBytes,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ]
        : [],
    })
  } catch {
    return failure(message, RCODE.FORMERR) // a question that decodes but does not encode again
  }
}

/** A bare header with the query's id: enough for a resolver to give up at once. */
function failure(message: Buffer, rcode: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES)
  message.copy(reply, 0, 0, 2)
  reply.writeUInt16BE(
    RESPONSE | (message.readUInt16BE(2) & (OPCODE | RECURSION_DESIRED)) | RECURSION_AVAILABLE | rcode,
    2,
  )
  return reply
}
