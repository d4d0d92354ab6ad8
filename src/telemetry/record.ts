/**
 * One finished exchange → one span and one log record, with the names of OpenTelemetry's conventions and of the
 * system in the seed (`http.*`, `gen_ai.*`, `agent.*`, `clrk.*`). Built after the exchange, off the request's path;
 * everything in it is redacted already. Pure but for fresh ids.
 */
import { randomBytes } from 'node:crypto'
import { type ClrkFault, describe } from '../errors.ts'
import type { ProviderId } from '../policy/policy.ts'
import type { Provider, Usage } from '../providers/provider.ts'
import { providerById } from '../providers/registry.ts'
import type { SandboxIdentity } from '../shard/protocol.ts'
import { type ReadBody, readBody, requestModel, usageOf } from './content.ts'
import { fieldsOf, isStream } from './heads.ts'
import type { Attribute, Recorded, Span, SpanEvent } from './otlp.ts'
import { isSecretHeader, REDACTED, type Redactor, redactQuery } from './redact.ts'

/** What was seen of one request and its answer. Nothing in it is redacted yet. */
export type Exchange = {
  /** `namespace/name` of the EgressGateway. */
  readonly gateway: string
  readonly sandbox: SandboxIdentity
  /** Nanoseconds since 1970. */
  readonly startTimeNs: bigint
  readonly endTimeNs: bigint
  readonly method: string
  readonly scheme: 'http' | 'https'
  readonly name: string
  readonly port: number
  /** Path and query as received. */
  readonly target: string
  /** 0: there was no answer. */
  readonly status: number
  readonly error: ClrkFault | null
  /** latin1 lines, `Name: value`, CRLF between them: as received, before injection. */
  readonly requestHead: string
  /** Names of the headers that the policy set. */
  readonly injected: readonly string[]
  readonly responseHead: string
  /** Content without chunked framing, as `createBodyTap` keeps it. */
  readonly requestBody: readonly Buffer[]
  readonly requestBodyBytes: number
  readonly responseBody: readonly Buffer[]
  readonly responseBodyBytes: number
  readonly requestTruncated: boolean
  readonly responseTruncated: boolean
  readonly responseChunks: number
  /** `TappedBody.usageEvents` of the response. */
  readonly usageEvents: readonly string[]
  readonly provider: ProviderId | null
  /** `ProviderRule.id` or `L4Rule.id`. */
  readonly rule: string | null
  /** `namespace/name` of the AIProviderRoute. */
  readonly route: string | null
  /** The agent's header (W3C Trace Context), valid or not. */
  readonly traceparent: string | null
}

export type SpanIds = Pick<Span, 'traceId' | 'spanId' | 'parentSpanId'>

/** The resource of everything that one gateway's proxies record. */
export function egressResource(gateway: string): readonly Attribute[] {
  return [
    ['service.name', 'clrk-egress'],
    ['clrk.component', 'egress-proxy'],
    ['clrk.egress_gateway', gateway],
  ]
}

/** The span and the log record of `received`. Never throws, whatever agent and provider sent. */
export function recordExchange(
  received: Exchange,
  redactor: Redactor,
  ids: SpanIds = spanIds(received.traceparent),
): Recorded {
  // By value first and on whole texts: taken apart (at a `?`), lower-cased or decoded, a secret would not be known.
  const exchange = withoutSecrets(received, redactor)
  const { method, name, target, status, error, startTimeNs, endTimeNs } = exchange
  const provider = exchange.provider === null ? null : providerById(exchange.provider)
  const request = fieldsOf(exchange.requestHead)
  const response = fieldsOf(exchange.responseHead)
  const requestBody = readBody(exchange.requestBody, exchange.requestTruncated, request, false, redactor)
  const responseBody = readBody(exchange.responseBody, exchange.responseTruncated, response, true, redactor)
  const path = target.split('?', 1)[0] ?? ''
  const seen: Seen = {
    path,
    operation: provider?.operation(path) ?? null,
    model: redacted(redactor, provider === null ? null : requestModel(provider, path, requestBody)),
    usage: provider === null ? null : usageOf(provider, exchange.usageEvents, responseBody),
  }
  const fault = error === null ? null : describe(error)
  const attributes = [
    ...exchangeAttributes(exchange, path),
    ...(provider === null ? [] : modelAttributes(provider, redactor, seen, responseBody.type)),
  ]
  if (error !== null) attributes.push(['error.type', error.code])
  if (fault?.status === 403) attributes.push(['clrk.egress.deny_reason', 'policy'])

  const events = [headersEvent('request', startTimeNs, request, exchange.injected)]
  pushBodyEvent(events, 'request', startTimeNs, requestBody, exchange.requestBodyBytes)
  if (response.size > 0) events.push(headersEvent('response', endTimeNs, response, []))
  pushBodyEvent(events, 'response', endTimeNs, responseBody, exchange.responseBodyBytes)

  const operation = seen.operation ?? `${method} ${name}`
  const failed = status === 0 || status >= 400 || error !== null
  const failure = !failed ? null : fault === null ? `HTTP ${status}` : redactor.text(`${fault.code}: ${fault.why}`)
  return {
    span: {
      ...ids,
      name: seen.operation === null || seen.model === null ? operation : `${operation} ${seen.model}`,
      startTimeNs,
      endTimeNs,
      attributes,
      events,
      failure,
    },
    log: {
      severity: status >= 500 ? 'ERROR' : status === 0 || status >= 400 ? 'WARN' : 'INFO',
      body: summary(exchange, seen),
    },
  }
}

type Seen = {
  readonly path: string
  readonly operation: string | null
  readonly model: string | null
  readonly usage: Usage | null
}

function exchangeAttributes(exchange: Exchange, path: string): Attribute[] {
  const { sandbox, scheme, name, port, route } = exchange
  const authority = port === (scheme === 'https' ? 443 : 80) ? name : `${name}:${port}`
  const [routeNamespace = '', routeName = ''] = route?.split('/') ?? []
  const attributes: Attribute[] = [
    ['agent.kind', sandbox.agentKind],
    ['agent.namespace', sandbox.agentNamespace],
    ['agent.name', sandbox.agentName],
    ['clrk.sandbox.id', sandbox.id],
    ['http.request.method', exchange.method],
    ['server.address', name],
    ['server.port', port],
    ['url.scheme', scheme],
    ['url.path', path],
    ['url.full', `${scheme}://${authority}${redactQuery(exchange.target)}`],
    ['clrk.req.bytes', exchange.requestBodyBytes],
    ['clrk.resp.bytes', exchange.responseBodyBytes],
    ['clrk.req.truncated', exchange.requestTruncated],
    ['clrk.resp.truncated', exchange.responseTruncated],
    ['clrk.resp.chunks', exchange.responseChunks],
    ['clrk.duration_ms', durationMs(exchange)],
    ['clrk.aiproviderroute.matched', route !== null],
  ]
  if (exchange.status !== 0) attributes.push(['http.response.status_code', exchange.status])
  if (route !== null)
    attributes.push(['clrk.aiproviderroute.namespace', routeNamespace], ['clrk.aiproviderroute.name', routeName])
  if (exchange.rule !== null) attributes.push(['clrk.egress.rule', exchange.rule])
  return attributes
}

function modelAttributes(provider: Provider, redactor: Redactor, seen: Seen, responseType: string): Attribute[] {
  const { operation, model, usage } = seen
  const attributes: Attribute[] = [
    ['gen_ai.response.stream', isStream(responseType)],
    ['clrk.body.usage_visible', usage !== null],
  ]
  if (provider.id !== 'custom') attributes.push(['gen_ai.system', provider.genAiSystem])
  if (operation !== null) attributes.push(['gen_ai.operation.name', operation])
  if (model !== null) attributes.push(['gen_ai.request.model', model])
  const answered = redacted(redactor, usage?.model ?? null)
  if (answered !== null) attributes.push(['gen_ai.response.model', answered])
  if (usage !== null && usage.inputTokens !== null) attributes.push(['gen_ai.usage.input_tokens', usage.inputTokens])
  if (usage !== null && usage.outputTokens !== null) attributes.push(['gen_ai.usage.output_tokens', usage.outputTokens])
  return attributes
}

function headersEvent(
  side: 'request' | 'response',
  timeNs: bigint,
  fields: ReadonlyMap<string, string>,
  injected: readonly string[],
): SpanEvent {
  const attributes: Attribute[] = injected.map(name => [keyOf(name.toLowerCase())[side], REDACTED])
  for (const [name, value] of fields) {
    if (injected.some(set => set.toLowerCase() === name)) continue
    const key = keyOf(name)
    attributes.push([key[side], key.secret ? REDACTED : redactQuery(value)])
  }
  return { name: `http.${side}.headers`, timeNs, attributes }
}

/** The attribute keys of a header (lower case), and whether its value is ever recorded. */
function keyOf(name: string): HeaderKey {
  const known = HEADER_KEYS.get(name)
  if (known !== undefined) return known
  const key = {
    request: `http.request.header.${name}`,
    response: `http.response.header.${name}`,
    secret: isSecretHeader(name),
  }
  if (HEADER_KEYS.size < HEADER_KEYS_MAXIMUM) HEADER_KEYS.set(name, key)
  return key
}

function pushBodyEvent(
  events: SpanEvent[],
  side: 'request' | 'response',
  timeNs: bigint,
  { captured, content, encoding, cut }: ReadBody,
  bytes: number,
): void {
  if (!captured) return
  // Decoded content is held to what plain content is held to.
  const overlong = content !== null && cut === 'none' && content.length > Math.max(bytes, DECODED_SHOWN_BYTES)
  const shown = overlong ? content.subarray(0, DECODED_SHOWN_BYTES) : content
  const attributes: Attribute[] = [
    ['clrk.body.bytes', bytes],
    ['clrk.body.truncated', cut !== 'none' || overlong],
  ]
  if (encoding !== null) attributes.push(['clrk.body.content_encoding', encoding])
  if (shown !== null) attributes.push(['clrk.body.b64', shown.toString('base64')])
  events.push({ name: `http.${side}.body`, timeNs, attributes })
}

function summary(exchange: Exchange, { path, model, usage }: Seen): string {
  const { method, name, status, requestBodyBytes, responseBodyBytes, provider, route, error } = exchange
  const parts = [`${method} ${name}${path}`, `${status}`, `${durationMs(exchange)}ms`]
  parts.push(`req=${requestBodyBytes}B`, `resp=${responseBodyBytes}B`)
  if (provider !== null) parts.push(`provider=${provider}`)
  if (model !== null) parts.push(`model=${model}`)
  if (usage !== null) parts.push(`tokens=${usage.inputTokens ?? '?'}/${usage.outputTokens ?? '?'}`)
  if (route !== null) parts.push(`route=${route}`)
  if (error !== null) parts.push(error.code)
  return parts.join(' ')
}

function withoutSecrets(exchange: Exchange, { holds, text }: Redactor): Exchange {
  const { method, name, target, requestHead, responseHead } = exchange
  if (!holds(`${method}\n${name}\n${target}\n${requestHead}\n${responseHead}`)) return exchange
  return {
    ...exchange,
    method: text(method),
    name: text(name),
    target: text(target),
    requestHead: text(requestHead),
    responseHead: text(responseHead),
  }
}

function redacted(redactor: Redactor, text: string | null): string | null {
  return text === null ? null : redactor.text(text)
}

function durationMs({ startTimeNs, endTimeNs }: Exchange): number {
  return Math.round(Number(endTimeNs - startTimeNs) / 1e6)
}

/** Fresh ids; the agent's trace and span as parent where its `traceparent` is valid (W3C Trace Context §3.2). */
function spanIds(traceparent: string | null): SpanIds {
  const valid = traceparent !== null && (traceparent.length === 55 || !traceparent.startsWith('00'))
  const parent = valid ? TRACEPARENT.exec(traceparent) : null
  return { traceId: parent?.[1] ?? randomHex(32), spanId: randomHex(16), parentSpanId: parent?.[2] ?? null }
}

type HeaderKey = { readonly request: string; readonly response: string; readonly secret: boolean }
const HEADER_KEYS = new Map<string, HeaderKey>()
const HEADER_KEYS_MAXIMUM = 1_024
let pool = ''

function randomHex(digits: number): string {
  if (pool.length < digits) pool = randomBytes(POOL_BYTES).toString('hex')
  const id = pool.slice(0, digits)
  pool = pool.slice(digits)
  return id
}

/** Ids of zeros and version ff are invalid; what follows the flags is for versions after 00. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/
const POOL_BYTES = 4_096
const DECODED_SHOWN_BYTES = 65_536
