/** ClientHellos made by hand, right or wrong as a test wants them. */

export type HelloParts = {
  /** One host_name; null: no server_name extension. */
  serverName?: string | Buffer | null
  /** The server_name extension's data, instead of `serverName`. */
  serverNameData?: Buffer
  alpn?: readonly string[]
  /** supported_versions; null: the extension is absent. */
  versions?: readonly number[] | null
  legacyVersion?: number
  ech?: boolean
  /** More extensions: type and data. */
  extensions?: readonly (readonly [type: number, data: Buffer])[]
}

/** The handshake message, without records. */
export function clientHello(parts: HelloParts): Buffer {
  const { serverName = 'a.test', alpn = [], versions = [0x0304, 0x0303], legacyVersion = 0x0303, ech = false } = parts
  const extensions: (readonly [number, Buffer])[] = [[0x0a0a, Buffer.alloc(0)]]
  const nameData = parts.serverNameData ?? (serverName === null ? null : vector(2, hostName(serverName)))
  if (nameData !== null) extensions.push([0, nameData])
  if (alpn.length > 0) extensions.push([16, vector(2, ...alpn.map(name => vector(1, Buffer.from(name))))])
  if (versions !== null) extensions.push([43, vector(1, ...versions.map(uint16))])
  if (ech) extensions.push([0xfe0d, Buffer.alloc(8)])
  extensions.push(...(parts.extensions ?? []))
  const body = Buffer.concat([
    uint16(legacyVersion),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, uint16(0x1301), uint16(0xc02b)),
    vector(1, Buffer.from([0])),
    vector(2, ...extensions.map(([type, data]) => Buffer.concat([uint16(type), vector(2, data)]))),
  ])
  return Buffer.concat([Buffer.from([1, body.length >> 16]), uint16(body.length & 0xffff), body])
}

/** One entry of a ServerNameList. */
export function hostName(name: string | Buffer, type = 0): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name))])
}

/** Handshake records of `size` bytes each. */
export function records(message: Buffer, size: number): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + size)))
  }
  return Buffer.concat(parts)
}

/** `parts` behind their length in `width` bytes. */
export function vector(width: 1 | 2, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([width === 1 ? Buffer.from([content.length]) : uint16(content.length), content])
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}
