/** The one grammar of addresses and CIDRs. Everything that is compared, stored or dialled went through here. */
import type { Cidr, IpAddress } from '../policy/policy.ts'

export type CidrProblem = { readonly problem: string; readonly fix: string }

/**
 * `text` as a canonical address: IPv4 as four decimals without leading zeros, IPv6 as RFC 5952 writes it, an IPv4-mapped
 * one as `::ffff:1.2.3.4`. Null for any other spelling: short, octal, hexadecimal, a zone, brackets, a prefix (T13).
 * Never throws; applying it twice changes nothing.
 */
export function parseAddress(text: string): IpAddress | null {
  const bytes = addressBytes(text)
  return bytes === null ? null : formatAddress(bytes)
}

/** The 4 or 16 bytes of an address in network order; null where `parseAddress` gives null. RFC 4291 §2.2. */
export function addressBytes(text: string): Uint8Array | null {
  if (text.length > 45) return null
  if (!text.includes(':')) return ipv4Bytes(text)
  const halves = text.split('::')
  const [before = '', after] = halves
  if (halves.length > 2) return null
  const head = groups(before, after === undefined)
  const tail = after === undefined ? [] : groups(after, true)
  if (head === null || tail === null) return null
  const missing = 8 - head.length - tail.length
  if (after === undefined ? missing !== 0 : missing < 1) return null
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail]
  return Uint8Array.from(all.flatMap(group => [group >> 8, group & 0xff]))
}

/** The canonical text of 4 or 16 bytes. RFC 5952 §4 and §5. */
export function formatAddress(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join('.') as IpAddress
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join('.')}` as IpAddress
  const all = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0))
  const run = longestZeroRun(all)
  const text = (part: readonly number[]) => part.map(group => group.toString(16)).join(':')
  if (run.length < 2) return text(all) as IpAddress
  return `${text(all.slice(0, run.start))}::${text(all.slice(run.start + run.length))}` as IpAddress
}

/** `::ffff:0:0/96`: an IPv4 address in IPv6 clothes (RFC 4291 §2.5.5.2). */
export function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every(b => b === 0)
}

/** `ADDRESS/PREFIX` with no bit set past the prefix, or one address, which stands for itself alone. */
export function parseCidr(text: string): Cidr | CidrProblem {
  const [left = '', right, ...more] = text.split('/')
  const bytes = addressBytes(left)
  if (bytes === null || more.length > 0) {
    return { problem: 'is not a CIDR', fix: 'Write an address and a prefix length: 10.1.0.0/16 or 2001:db8::/32.' }
  }
  const bits = bytes.length * 8
  const prefix = right === undefined ? bits : /^(?:0|[1-9][0-9]{0,2})$/.test(right) ? Number(right) : bits + 1
  if (prefix > bits) return { problem: 'has a wrong prefix length', fix: `Write a prefix length from 0 to ${bits}.` }
  if (isMapped(bytes)) {
    const inner = `${bytes.subarray(12).join('.')}/${Math.max(prefix - 96, 0)}`
    return { problem: 'is IPv4 written as IPv6', fix: `Write it as IPv4: ${inner}.` }
  }
  const network = bytes.map((byte, index) => byte & (0xff << Math.max(0, Math.min(8, 8 * (index + 1) - prefix))))
  const address = formatAddress(network)
  if (network.some((byte, index) => byte !== bytes[index])) {
    return { problem: `has bits set past /${prefix}`, fix: `Write ${address}/${prefix}.` }
  }
  return { address, prefix }
}

function ipv4Bytes(text: string): Uint8Array | null {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every(part => /^(?:0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256))
    return null
  return Uint8Array.from(parts, Number)
}

/** Groups of 16 bits; dotted decimals may stand for the last two where the text ends. */
function groups(text: string, ends: boolean): number[] | null {
  if (text === '') return []
  const parts = text.split(':')
  const result: number[] = []
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      result.push(Number.parseInt(part, 16))
      continue
    }
    const embedded = ends && index === parts.length - 1 ? ipv4Bytes(part) : null
    if (embedded === null) return null
    const [a = 0, b = 0, c = 0, d = 0] = embedded
    result.push((a << 8) | b, (c << 8) | d)
  }
  return result
}

function longestZeroRun(all: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  for (let index = 0; index <= 8; index++) {
    if (all[index] === 0) continue
    if (index - start > best.length) best = { start, length: index - start }
    start = index + 1
  }
  return best
}
