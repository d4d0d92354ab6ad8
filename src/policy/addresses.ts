/** What an address is worth: which CIDR holds it, which special range it is in. Spelling: `resources/addresses.ts`. */
import { addressBytes, isMapped, parseCidr } from '../resources/addresses.ts'
import type { Cidr, IpAddress } from './policy.ts'

export { parseAddress, parseCidr } from '../resources/addresses.ts'

export type SpecialRange = {
  /** For sentences: «the private range 10.0.0.0/8». */
  readonly name: string
  /** Never dialled, whatever a rule says; else a rule wholly inside `cidr` opens it. */
  readonly hard: boolean
  readonly cidr: Cidr
}

/** Is `address` in `cidr`? IPv4 and IPv6 never mix, but a mapped address counts as the IPv4 address that it is. */
export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  return holds(bytesOf(cidr.address), cidr.prefix, unmapped(bytesOf(address)))
}

/** Is every address of `inner` in `outer`? */
export function cidrWithin(inner: Cidr, outer: Cidr): boolean {
  return inner.prefix >= outer.prefix && holds(bytesOf(outer.address), outer.prefix, bytesOf(inner.address))
}

/**
 * The special range that `address` is in, or leads to: mapped, compatible, NAT64, 6to4, Teredo and ISATAP forms are
 * looked through first (T14, T15). Null for an address of the public internet.
 */
export function specialRange(address: IpAddress): SpecialRange | null {
  return specialOf(bytesOf(address))
}

function specialOf(bytes: Uint8Array): SpecialRange | null {
  const inner = embedded(bytes)
    .map(specialOf)
    .filter(range => range !== null)
  const worst = inner.find(range => range.hard) ?? inner[0]
  if (worst !== undefined) return worst
  if (isMapped(bytes) || hasPrefix(bytes, WELL_KNOWN_NAT64)) return null // nothing but their IPv4 address
  return RANGES.find(({ bytes: network, range }) => holds(network, range.cidr.prefix, bytes))?.range ?? null
}

const WELL_KNOWN_NAT64 = [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]

/** The IPv4 addresses that a gateway or a stack could reach by this IPv6 address. */
function embedded(bytes: Uint8Array): readonly Uint8Array[] {
  if (bytes.length !== 16) return []
  const last = bytes.subarray(12)
  if (isMapped(bytes) || hasPrefix(bytes, WELL_KNOWN_NAT64)) return [last]
  if (bytes.subarray(0, 12).every(byte => byte === 0) && (last[0] !== 0 || last[1] !== 0)) return [last] // compatible
  const found: Uint8Array[] = []
  // 6to4 (RFC 3056), Teredo's server and, inverted, its client (RFC 4380 §4).
  if (hasPrefix(bytes, [0x20, 0x02])) found.push(bytes.subarray(2, 6))
  if (hasPrefix(bytes, [0x20, 0x01, 0, 0]))
    found.push(
      bytes.subarray(4, 8),
      last.map(byte => byte ^ 0xff),
    )
  // Local NAT64 (RFC 8215) may use any prefix length of RFC 6052 §2.2 from 48 on; octet 8 is skipped. A reading that
  // begins with 0 is the padding of another one.
  if (hasPrefix(bytes, [0x00, 0x64, 0xff, 0x9b, 0, 1])) {
    for (const offsets of [
      [6, 7, 9, 10],
      [7, 9, 10, 11],
      [9, 10, 11, 12],
      [12, 13, 14, 15],
    ]) {
      const reading = Uint8Array.from(offsets, offset => bytes[offset] ?? 0)
      if (reading[0] !== 0) found.push(reading)
    }
  }
  // ISATAP (RFC 5214 §6.1): an interface identifier 0000:5efe or 0200:5efe before the IPv4 address, in any network.
  if (((bytes[8] ?? 0) & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe) found.push(last)
  return found
}

type Row = readonly [cidr: string, name: string]

/** Never dialled. The metadata services have addresses in ranges that a rule could open, so they stand by themselves. */
const HARD: readonly Row[] = [
  ...[
    '169.254.169.254/32', // AWS, Google, Azure, Oracle and most others
    '169.254.170.2/32', // AWS ECS
    '169.254.170.23/32', // AWS EKS
    '168.63.129.16/32', // Azure's host
    '100.100.100.200/32', // Alibaba
    '192.0.0.192/32', // Oracle
    'fd00:ec2::254/128',
    'fd00:ec2::23/128',
    'fd20:ce::254/128', // Google
    'fd00:42::42/128', // Scaleway
  ].map(cidr => [cidr, 'a cloud metadata address'] as const),
  ['0.0.0.0/8', 'unspecified'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['fe80::/10', 'link-local'],
  ['ff00::/8', 'multicast'],
]

/** IANA's special-purpose registries (RFC 6890 and its successors, as of 2026), the narrower before the wider. */
const SOFT: readonly Row[] = [
  ['10.0.0.0/8', 'the private range'],
  ['172.16.0.0/12', 'the private range'],
  ['192.168.0.0/16', 'the private range'],
  ['100.64.0.0/10', 'the carrier-grade NAT range'],
  ['198.18.0.0/15', 'the benchmarking range'],
  ['192.0.2.0/24', 'the documentation range'],
  ['198.51.100.0/24', 'the documentation range'],
  ['203.0.113.0/24', 'the documentation range'],
  ['192.0.0.0/24', 'the protocol assignments range'],
  ['192.31.196.0/24', 'the AS112 range'],
  ['192.52.193.0/24', 'the AMT range'],
  ['192.88.99.0/24', 'the 6to4 relay range'],
  ['192.175.48.0/24', 'the AS112 range'],
  ['240.0.0.0/4', 'the reserved range'],
  ['fc00::/7', 'the unique local range'],
  ['fec0::/10', 'the site-local range'],
  ['64:ff9b:1::/48', 'the local NAT64 range'],
  ['2001::/32', 'the Teredo range'],
  ['2001::/23', 'the protocol assignments range'],
  ['2001:db8::/32', 'the documentation range'],
  ['2002::/16', 'the 6to4 range'],
  ['2620:4f:8000::/48', 'the AS112 range'],
  ['3fff::/20', 'the documentation range'],
  ['5f00::/16', 'the segment routing range'],
  ['100::/64', 'the discard range'],
  ['100:0:0:1::/64', 'the dummy range'],
  // Whatever else is not global unicast, 2000::/3 (RFC 4291 §2.4).
  ['::/3', 'the reserved range'],
  ['4000::/2', 'the reserved range'],
  ['8000::/1', 'the reserved range'],
]

const RANGES = [...HARD, ...SOFT].flatMap(([text, name]) => {
  const cidr = parseCidr(text)
  if ('problem' in cidr) return []
  const hard = HARD.some(([known]) => known === text)
  return [{ bytes: bytesOf(cidr.address), range: { name: hard ? name : `${name} ${text}`, hard, cidr } }]
})

function bytesOf(address: IpAddress): Uint8Array {
  return addressBytes(address) ?? new Uint8Array(16) // of a canonical address there are bytes
}

function unmapped(bytes: Uint8Array): Uint8Array {
  return isMapped(bytes) ? bytes.subarray(12) : bytes
}

function hasPrefix(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return bytes.length === 16 && prefix.every((byte, index) => bytes[index] === byte)
}

function holds(network: Uint8Array, prefix: number, bytes: Uint8Array): boolean {
  if (network.length !== bytes.length) return false
  const whole = prefix >> 3
  for (let index = 0; index < whole; index++) if (network[index] !== bytes[index]) return false
  const mask = (0xff00 >> (prefix & 7)) & 0xff
  return mask === 0 || ((network[whole] ?? 0) & mask) === ((bytes[whole] ?? 0) & mask)
}
