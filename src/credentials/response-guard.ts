/**
 * What was put on a request does not come back with the response (T79, T80, T124): heads, bodies and WebSocket messages
 * pass through a scrubber. So that it can see them, `PLAIN_ANSWERS` asks for answers without coding and in one piece;
 * a coding that comes all the same is taken off, and one that cannot be is refused.
 */
import type { Transform } from 'node:stream'
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'
import { dashed } from '../http1/grammar.ts'
import { fieldValues, type ResponseHead } from '../http1/head.ts'
import type { GuardedBody, GuardSink, ResponseGuard } from '../http1/hooks.ts'
import { createScrubber, type Scrubber, type Search, scrubText } from './scrub.ts'
import { createFrameScrubber } from './websocket-frames.ts'

/** Set on every request that carries a credential. */
export const PLAIN_ANSWERS = [['accept-encoding', 'identity']] as const

/** Is this request field (lower case) one that could hide an echo: a coding, a part, a compressed WebSocket? */
export function hidesEchoes(lowerName: string): boolean {
  return HIDING.has(dashed(lowerName))
}

/** `echoed` is told what was taken out and where, for each piece. `host` names the origin in faults. */
export function createResponseGuard(
  search: Search,
  host: string,
  echoed: (name: string, where: 'head' | 'body' | 'message') => void,
): ResponseGuard {
  let decodes = false
  return {
    head: text => {
      const kept = decodes ? text.replace(CONTENT_ENCODING, '') : text
      return scrubText(search, kept, name => echoed(name, 'head'))
    },
    body: (head, sink) => {
      const coding = codingOf(head)
      const scrubber = createScrubber(search, name => echoed(name, 'body'))
      if (coding === '') return plainBody(scrubber, sink)
      const shown = scrubText(search, coding, name => echoed(name, 'head')).slice(0, 64)
      const create = DECODERS.get(coding)
      if (create === undefined) return shown
      decodes = true
      return decodedBody(create, scrubber, sink, shown)
    },
    frames: () => createFrameScrubber(() => createScrubber(search, name => echoed(name, 'message')), host),
  }
}

function plainBody(scrubber: Scrubber, { data, end }: GuardSink): GuardedBody {
  const give = (payload: Buffer) => {
    if (payload.length > 0) data(payload)
  }
  return {
    decoded: false,
    write: slice => {
      give(scrubber.push(slice))
      return true
    },
    end: () => {
      give(scrubber.end())
      end()
    },
    pause: () => {},
    resume: () => {},
    destroy: () => {},
  }
}

/** `coding`: what is told where the bytes are not what the coding says. */
function decodedBody(
  create: (first: Buffer) => Transform,
  scrubber: Scrubber,
  { data, end, drained, failed }: GuardSink,
  coding: string,
): GuardedBody {
  let decoder: Transform | null = null
  let over = false
  const give = (payload: Buffer) => {
    if (payload.length > 0) data(payload)
  }
  const start = (first: Buffer) =>
    create(first)
      .on('data', chunk => {
        if (!over) give(scrubber.push(chunk))
      })
      .on('end', () => {
        if (over) return
        over = true
        give(scrubber.end())
        end()
      })
      .on('drain', () => {
        if (!over) drained()
      })
      .on('error', () => {
        if (over) return
        over = true
        failed(coding)
      })
  return {
    decoded: true,
    write: slice => {
      if (over) return true
      decoder ??= start(slice)
      return decoder.write(slice)
    },
    end: () => {
      if (decoder === null) end()
      else if (!over) decoder.end()
    },
    pause: () => void decoder?.pause(),
    resume: () => void decoder?.resume(),
    destroy: () => {
      over = true
      decoder?.destroy()
    },
  }
}

/** What the body has to be freed from, lower case; '' for nothing. */
function codingOf(head: ResponseHead): string {
  for (const name of MESSAGE_CODINGS) {
    const coding = fieldValues(head, name).join(', ').toLowerCase()
    if (coding !== '' && coding !== 'identity') return `${name} ${coding}`
  }
  return fieldValues(head, 'content-encoding')
    .flatMap(value => value.toLowerCase().split(','))
    .map(coding => coding.trim())
    .filter(coding => coding !== '' && coding !== 'identity')
    .join(', ')
}

const HIDING: ReadonlySet<string> = new Set([
  ...['accept-encoding', 'grpc-accept-encoding', 'connect-accept-encoding', 'accept-charset', 'a-im'],
  ...['range', 'if-range', 'sec-websocket-extensions'],
])
/** gRPC and Connect code each message by itself. */
const MESSAGE_CODINGS = ['grpc-encoding', 'connect-content-encoding']
const CONTENT_ENCODING = /^content-encoding:.*\r\n/gim
const ZSTD = { params: { [constants.ZSTD_d_windowLogMax]: 24 } } // 16 MiB
const DECODERS: ReadonlyMap<string, (first: Buffer) => Transform> = new Map<string, (first: Buffer) => Transform>([
  ['gzip', () => createGunzip()],
  ['x-gzip', () => createGunzip()],
  ['br', () => createBrotliDecompress()],
  ['zstd', () => createZstdDecompress(ZSTD)],
  // Some servers send it without the zlib wrapper (RFC 1950 §2.2: method 8) that the standard asks for.
  ['deflate', first => (((first[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw())],
])
