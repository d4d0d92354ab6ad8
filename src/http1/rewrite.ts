/**
 * The head that goes out, built from the head that came: kept lines byte for byte and in order, one framing field of
 * ours in the place of the one that came, hop-by-hop fields gone (RFC 9110 §7.6.1).
 */
import { clrkError } from '../errors.ts'
import { dashed, FIELD_TEXT, isAll, TARGET, TOKEN } from './grammar.ts'
import type { Fields, RequestHead, ResponseHead } from './head.ts'
import { KIND, kindOf, STRIDE } from './head.ts'
import { isUpgradeField, SWITCH_LINES, upgradeLines, type WebSocketRequest } from './websocket.ts'

export type RequestChanges = {
  /** Asked for every field but framing, with its lower-case name and its dashed twin (T32); true takes it out. */
  readonly remove: (lowerName: string) => boolean
  /**
   * Set last, after hop-by-hop fields are dealt with, so that no `Connection: authorization` takes them away (T31).
   * Every field of that name or of its underscore twin is taken out first, in any case.
   */
  readonly set: readonly (readonly [name: string, value: string])[]
  /** What goes out as the request target. */
  readonly target: string
}

/**
 * The request head for upstream, with its empty line; write it as latin1. `upgrade`: it asks for this WebSocket.
 * Throws CLRK_INTERNAL where `set` or `target` could not stand in a head: nothing may be sent then.
 */
export function rewriteRequestHead(
  head: RequestHead,
  changes: RequestChanges,
  upgrade: WebSocketRequest | null = null,
): string {
  const { remove, set, target } = changes
  if (target !== head.target && !isAll(target, TARGET)) throw clrkError('CLRK_INTERNAL', { reason: 'bad new target' })
  const { twins, lines } = linesOf(set)
  const tail = upgrade === null ? lines : upgradeLines(upgrade) + lines
  const kept = keptLines(head, (name, kind) => {
    if (kind === KIND.length || kind === KIND.coding) return false
    if (kind === KIND.expect && head.version === '1.0') return true // RFC 9110 §10.1.1
    if (upgrade !== null && isUpgradeField(name)) return true
    const twin = dashed(name)
    return remove(name) || twins.includes(twin) || (twin !== name && remove(twin))
  })
  return `${head.method} ${target} HTTP/1.1\r\n${kept}${tail}\r\n`
}

/** What the policy takes out of or sets on the head is not smuggled in as a trailer (T30). */
export function refusedTrailers({ remove, set }: RequestChanges): (lowerName: string) => boolean {
  return lowerName => remove(lowerName) || set.some(([name]) => dashed(name.toLowerCase()) === dashed(lowerName))
}

type SetLines = { readonly twins: readonly string[]; readonly lines: string }

/** What is set as text, and the dashed names that it replaces; remembered with the list, which nobody changes. */
function linesOf(set: RequestChanges['set']): SetLines {
  const known = setLines.get(set)
  if (known !== undefined) return known
  const twins: string[] = []
  let lines = ''
  for (const [name, value] of set) {
    const twin = dashed(name.toLowerCase())
    if (!isAll(name, TOKEN) || !isAll(value, FIELD_TEXT) || kindOf(twin) > KIND.expect) {
      throw clrkError('CLRK_INTERNAL', { reason: 'a header to set is not a valid end-to-end field' })
    }
    twins.push(twin)
    lines += `${name}: ${value}\r\n`
  }
  const made = { twins, lines }
  setLines.set(set, made)
  return made
}

const setLines = new WeakMap<RequestChanges['set'], SetLines>()

export type ResponseFraming =
  /** Content-Length or chunked as it came. */
  | 'keep'
  /** Neither: no body, or one that ends with the connection. */
  | 'none'
  | 'chunked'

/**
 * The response head for the agent, with its empty line; write it as latin1. Alt-Svc is gone (T21).
 * `connection`: our own word on this hop, or null for none; `upgrade` with a 101 to a WebSocket.
 */
export function rewriteResponseHead(
  head: ResponseHead,
  framing: ResponseFraming,
  connection: 'close' | 'keep-alive' | 'upgrade' | null,
): string {
  const reframed = framing !== 'keep'
  const kept = keptLines(
    head,
    (_, kind) => kind === KIND.alternative || (reframed && (kind === KIND.length || kind === KIND.coding)),
  )
  const coding = framing === 'chunked' ? 'transfer-encoding: chunked\r\n' : ''
  const ours = connection === null ? '' : connection === 'upgrade' ? SWITCH_LINES : `connection: ${connection}\r\n`
  return `HTTP/1.1 ${head.status} ${head.reason}\r\n${kept}${coding}${ours}\r\n`
}

/** The lines that go on; neighbours that stay are taken in one slice. */
function keptLines(head: Fields, drops: (lowerName: string, kind: number) => boolean): string {
  const { text, names, table, nominated } = head
  let out = ''
  let keptFrom = -1
  for (let index = 0, row = 0; index < names.length; index++, row += STRIDE) {
    const name = names[index] ?? ''
    const kind = table[row + 4] ?? KIND.dropped
    const lineStart = table[row] ?? 0
    const isFraming = kind === KIND.length || kind === KIND.coding
    const goes =
      kind >= KIND.dropped ||
      drops(name, kind) ||
      (nominated.length > 0 && nominated.includes(name) && kind === KIND.endToEnd && !NOT_BY_NOMINATION.test(name))
    if (!goes && !isFraming) {
      if (keptFrom < 0) keptFrom = lineStart
      continue
    }
    if (keptFrom >= 0) out += text.slice(keptFrom, lineStart)
    keptFrom = -1
    if (goes) continue
    const value = head.framing.kind === 'length' ? head.framing.length : 'chunked'
    out += `${text.slice(lineStart, table[row + 1])}: ${value}\r\n`
  }
  return keptFrom < 0 ? out : out + text.slice(keptFrom)
}

/** What policy read from the body's description must be what the origin reads. */
const NOT_BY_NOMINATION = /^content-/
