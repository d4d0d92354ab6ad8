/** HTTP/2 frames made by hand (RFC 9113 §4, RFC 7541 §6.2.2): what no well-behaved library would send. */
import type { Socket } from 'node:net'

export const TYPE = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const
export const END_STREAM = 1
export const END_HEADERS = 4
export const ACK = 1

export type Frame = { readonly type: number; readonly flags: number; readonly stream: number; readonly payload: Buffer }

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals that are not indexed, as they are. */
export function block(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const text = (value: string) => Buffer.concat([integer(value.length), Buffer.from(value, 'latin1')])
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

/** RFC 7541 §5.1, with a prefix of seven bits. */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}

export function request(name: string, more: readonly (readonly [name: string, value: string])[] = [], path = '/') {
  return block([[':method', 'GET'], [':scheme', 'https'], [':authority', name], [':path', path], ...more])
}

export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}

export type RawPeer = {
  readonly frames: Frame[]
  readonly send: (...frames: readonly Buffer[]) => boolean
  /** The first frame, past or future, of which `is` is true; null where the connection ends without one. */
  readonly until: (is: (frame: Frame) => boolean) => Promise<Frame | null>
  readonly closed: Promise<void>
}

/** Speaks raw frames on `socket`; as a client the preface and empty SETTINGS have gone out already. */
export function rawPeer(socket: Socket, side: 'client' | 'server'): RawPeer {
  const frames: Frame[] = []
  const looks = new Set<() => void>()
  let rest = Buffer.alloc(0)
  let preface = side === 'server' ? PREFACE.length : 0
  let over = false
  const look = () => {
    for (const each of looks) each()
  }
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    if (rest.length < preface) return
    rest = rest.subarray(preface)
    preface = 0
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3)
      const [type = 0, flags = 0] = rest.subarray(3, 5)
      frames.push({ type, flags, stream: rest.readUInt32BE(5), payload: rest.subarray(9, end) })
      rest = rest.subarray(end)
    }
    look()
  })
  const closed = new Promise<void>(resolve => {
    socket.on('close', () => {
      over = true
      resolve()
      look()
    })
  })
  const send = (...out: readonly Buffer[]) => socket.write(Buffer.concat(out))
  send(...(side === 'client' ? [PREFACE] : []), frame(TYPE.settings, 0, 0))
  return {
    frames,
    send,
    closed,
    until: is =>
      new Promise(resolve => {
        const each = () => {
          const found = frames.find(is)
          if (found === undefined && !over) return
          looks.delete(each)
          resolve(found ?? null)
        }
        looks.add(each)
        each()
      }),
  }
}

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
