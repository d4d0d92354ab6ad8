/**
 * The opening handshake of a WebSocket (RFC 6455 §4), both halves of it: only a request that asks for exactly this
 * upgrade goes out as one (T36), and only an answer to that very request opens the way for bytes that are no HTTP (T37).
 * Pure. What follows the handshake is not looked at.
 */
import { createHash } from 'node:crypto'
import type { ClrkFault } from '../errors.ts'
import { dashed, isAll, TOKEN } from './grammar.ts'
import type { Fields, RequestHead, ResponseHead } from './head.ts'
import { fieldValues } from './head.ts'

export type WebSocketRequest = {
  /** `Sec-WebSocket-Key`: 16 bytes in base64. */
  readonly key: string
  /** Those that are offered to the origin, in order; it may choose one of them. */
  readonly subprotocols: readonly string[]
}

/**
 * What `head` asks to become: a WebSocket, something that is refused (CLRK_UPGRADE_NOT_ALLOWED for another protocol,
 * CLRK_HTTP_MALFORMED for a handshake that is none), or null for a plain request. An Upgrade field that Connection does
 * not name, or of HTTP/1.0, asks for nothing (RFC 9110 §7.8) and is not forwarded.
 */
export function readUpgrade(head: RequestHead): WebSocketRequest | ClrkFault | null {
  const { upgrade, nominated, version, method, framing } = head
  if (upgrade === null || version === '1.0' || !nominated.includes('upgrade')) return null
  if (upgrade !== 'websocket') {
    return { code: 'CLRK_UPGRADE_NOT_ALLOWED', details: { protocol: upgrade.slice(0, 64) } }
  }
  if (method !== 'GET') return malformed('its method is not GET')
  // What comes behind a body, or behind the head, is read by other rules once the protocol has changed.
  if (framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > 0)) return malformed('it has a body')
  if (only(head, 'sec-websocket-version') !== '13') return malformed('Sec-WebSocket-Version is not 13')
  const key = only(head, 'sec-websocket-key')
  if (key === null || !KEY.test(key)) return malformed('Sec-WebSocket-Key is not 16 bytes in base64')
  const subprotocols = fieldValues(head, SUBPROTOCOL).flatMap(value => value.split(',').map(name => name.trim()))
  if (!subprotocols.every(name => isAll(name, TOKEN))) return malformed('a subprotocol is not a token')
  return { key, subprotocols }
}

/** Why `head`, with status 101, is no answer to `request`; null: both sides may speak WebSocket from the next byte on. */
export function switchProblem(request: WebSocketRequest, head: ResponseHead): string | null {
  if (head.version === '1.0' || head.upgrade !== 'websocket' || !head.nominated.includes('upgrade')) {
    return 'it switches to a protocol that nobody asked for'
  }
  if (head.framing.kind !== 'none') return 'it gives its 101 a body'
  if (only(head, 'sec-websocket-accept') !== acceptOf(request.key)) return 'its Sec-WebSocket-Accept is wrong'
  const chosen = fieldValues(head, SUBPROTOCOL)
  const offered = chosen.length === 0 || (chosen.length === 1 && request.subprotocols.includes(chosen[0] ?? ''))
  return offered ? null : 'it chose a subprotocol that it was not offered'
}

/** The lines that ask for `request` on the next hop; the agent's own for it are dropped (`isUpgradeField`). */
export function upgradeLines({ subprotocols }: WebSocketRequest): string {
  const offer = subprotocols.length === 0 ? '' : `Sec-WebSocket-Protocol: ${subprotocols.join(', ')}\r\n`
  return `${SWITCH_LINES}${offer}`
}

/** Is this field (lower case), beside those of the hop, written anew by `upgradeLines`? */
export function isUpgradeField(lowerName: string): boolean {
  return dashed(lowerName) === SUBPROTOCOL
}

/** Our word on an upgraded hop. */
export const SWITCH_LINES = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'

function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}${GUID}`).digest('base64')
}

/** The value of a field that stands once; null where it is missing or repeated. */
function only(head: Fields, lowerName: string): string | null {
  const [value, ...more] = fieldValues(head, lowerName)
  return value === undefined || more.length > 0 ? null : value
}

function malformed(problem: string): ClrkFault {
  return { code: 'CLRK_HTTP_MALFORMED', details: { reason: `it asks for a WebSocket, but ${problem}` } }
}

const SUBPROTOCOL = 'sec-websocket-protocol'
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/
/** RFC 6455 §1.3 */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
