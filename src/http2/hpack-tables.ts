/** The tables of HPACK (RFC 7541 §2.3): the static one of appendix A, and a dynamic one for each connection. */

export type Entry = {
  readonly name: string
  readonly value: string
}

/** Entries 1 to 61; names alone have an empty value. */
export const STATIC: readonly Entry[] = [
  [':authority'],
  [':method', 'GET', 'POST'],
  [':path', '/', '/index.html'],
  [':scheme', 'http', 'https'],
  [':status', '200', '204', '206', '304', '400', '404', '500'],
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ...['accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow'].map(name => [name]),
  ...['authorization', 'cache-control', 'content-disposition', 'content-encoding'].map(name => [name]),
  ...['content-language', 'content-length', 'content-location', 'content-range', 'content-type'].map(name => [name]),
  ...['cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since'].map(name => [
    name,
  ]),
  ...['if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'link', 'location'].map(name => [name]),
  ...['max-forwards', 'proxy-authenticate', 'proxy-authorization', 'range', 'referer', 'refresh'].map(name => [name]),
  ...['retry-after', 'server', 'set-cookie', 'strict-transport-security', 'transfer-encoding'].map(name => [name]),
  ...['user-agent', 'vary', 'via', 'www-authenticate'].map(name => [name]),
].flatMap(([name = '', ...values]) => (values.length === 0 ? [''] : values).map(value => ({ name, value })))

export type DynamicTable = {
  /** The entry at `index`, 0 is the newest; undefined past the oldest. */
  readonly at: (index: number) => Entry | undefined
  /** Evicts what has to go; an entry larger than the table empties it (§4.4). */
  readonly add: (entry: Entry) => void
  readonly resize: (bytes: number) => void
}

/** What an entry counts (§4.1), also in SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2). */
export function sizeOf({ name, value }: Entry): number {
  return name.length + value.length + OVERHEAD_BYTES
}

/** Holds `TABLE_BYTES` until it is resized to less. */
export function createDynamicTable(): DynamicTable {
  const ring: (Entry | undefined)[] = Array.from({ length: RING }, () => undefined)
  let newest = 0
  let count = 0
  let bytes = 0
  let maximum = TABLE_BYTES

  function evict(most: number): void {
    while (bytes > most && count > 0) {
      count--
      const slot = (newest - count + RING) % RING
      const entry = ring[slot]
      if (entry !== undefined) bytes -= sizeOf(entry)
      ring[slot] = undefined
    }
  }

  return {
    at: index => (index < count ? ring[(newest - index + RING) % RING] : undefined),
    add: entry => {
      const size = sizeOf(entry)
      evict(maximum - size)
      if (size > maximum) return
      newest = (newest + 1) % RING
      ring[newest] = entry
      count++
      bytes += size
    },
    resize: most => {
      maximum = most
      evict(most)
    },
  }
}

/** SETTINGS_HEADER_TABLE_SIZE where nothing else was said (RFC 9113 §6.5.2). */
export const TABLE_BYTES = 4_096
const OVERHEAD_BYTES = 32
/** As many entries as there can be. */
const RING = TABLE_BYTES / OVERHEAD_BYTES
