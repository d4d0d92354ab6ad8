/**
 * What the captured bodies of an exchange say: their content, the model that was asked for, the tokens that were used.
 * All text is latin1, as the secrets are that are looked for in it; JSON's own characters are ASCII in either reading.
 */
import type { Provider, Usage } from '../providers/provider.ts'
import { decodeBody } from './decode.ts'
import { isEventStream, isStream } from './heads.ts'
import type { Redactor } from './redact.ts'
import type { BodyFields } from './subject.ts'

export type ReadBody = {
  /** Lower case; of the header. */
  readonly type: string
  readonly encoding: string | null
  /** Decoded and redacted; null where there is nothing, or nothing that redaction could look into. */
  readonly content: Buffer | null
  readonly captured: boolean
  readonly cut: 'none' | 'end' | 'start'
}

/** What was captured, decoded: compressed bytes are never shown, because a secret in them cannot be seen. */
export function readBody(
  slices: readonly Buffer[],
  truncated: boolean,
  { type, encoding }: BodyFields,
  isResponse: boolean,
  redactor: Redactor,
): ReadBody {
  const [only] = slices
  if (only === undefined) return { type, encoding, content: null, captured: false, cut: 'none' }
  const kept = slices.length === 1 ? only : Buffer.concat(slices)
  const cut = !truncated ? 'none' : isResponse && isStream(type) ? 'start' : 'end'
  const decoded = encoding === null ? kept : truncated ? null : decodeBody(kept, encoding)
  return { type, encoding, content: decoded && redactor.body(decoded, cut), captured: true, cut }
}

/** From the path where the provider puts it there, else the first `model` of the body's beginning. */
export function requestModel(provider: Provider, path: string, { content }: ReadBody): string | null {
  const named = provider.modelOfPath(path)
  if (named !== null || content === null) return named
  return /"model"\s*:\s*"([^"\\]{1,256})"/.exec(content.toString('latin1'))?.[1] ?? null
}

/** From `events` (`TappedBody.usageEvents`) where there are any, else from a body that was kept whole. */
export function usageOf(provider: Provider, events: readonly string[], { type, content, cut }: ReadBody): Usage | null {
  if (events.length > 0) return provider.usageOfEvents(events)
  if (content === null || cut !== 'none') return null
  const body = content.toString('latin1')
  if (!isEventStream(type)) return provider.usageOfBody(body)
  const data = body.split(/\r?\n/).filter(line => line.startsWith('data:') && line.includes('"usage'))
  return provider.usageOfEvents(data.map(line => line.slice(5)))
}
