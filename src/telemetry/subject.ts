/**
 * What records say again and again, encoded and redacted once: a subject's own attributes, and the heads of its last
 * exchange, which the next one often has, too (the same client asks, the same server answers in the same second).
 */
import type { Provider } from '../providers/provider.ts'
import { providerById } from '../providers/registry.ts'
import type { Exchange, Subject } from './exchange.ts'
import { fieldsOf } from './heads.ts'
import { attribute, attributesOf, eventOf, quote } from './otlp.ts'
import { isSecretHeader, REDACTED, type Redactor, redactQuery } from './redact.ts'

export type EncodedSubject = {
  /** Who asked: of the span and of the log record, whose one line says the rest. */
  readonly agent: string
  /** Of the span, `agent` with them. */
  readonly attributes: string
  /** Redacted: the host name, and the name with the port that a URL shows. */
  readonly name: string
  readonly origin: string
  readonly provider: Provider | null
  /** Of the log record's line. */
  readonly saidOfProvider: string
  readonly saidOfRoute: string
  request: EncodedRequest | null
  response: EncodedResponse | null
}

/** What a body is read with: of the head that belongs to it. */
export type BodyFields = {
  /** Lower case; empty where there is none. */
  readonly type: string
  readonly encoding: string | null
}

/** Text is redacted; `attributes` are the subject's, too; `headers` is what `event` takes. */
export type EncodedRequest = BodyFields & {
  readonly key: Pick<Exchange, 'method' | 'target' | 'requestHead' | 'injected'>
  readonly path: string
  readonly operation: string | null
  /** The span's, as far as it says no model; quoted. */
  readonly name: string
  /** The beginning of the log record's body. */
  readonly summary: string
  readonly attributes: string
  readonly headers: string
}

/** `headers` is empty where there was no answer. */
export type EncodedResponse = BodyFields & { readonly key: string; readonly headers: string }

export function describeSubject(subject: Subject, redactor: Redactor): EncodedSubject {
  const { sandbox, scheme, port, route, rule } = subject
  const provider = subject.provider === null ? null : providerById(subject.provider)
  const name = redactor.text(subject.name)
  const [routeNamespace = '', routeName = ''] = route?.split('/') ?? []
  const agent = attributesOf([
    ['agent.kind', sandbox.agentKind],
    ['agent.namespace', sandbox.agentNamespace],
    ['agent.name', sandbox.agentName],
    ['clrk.sandbox.id', sandbox.id],
  ])
  const attributes = [
    agent,
    attribute('server.address', name),
    attribute('server.port', port),
    attribute('url.scheme', scheme),
    attribute('clrk.aiproviderroute.matched', route !== null),
  ]
  if (route !== null) {
    attributes.push(attribute('clrk.aiproviderroute.namespace', routeNamespace))
    attributes.push(attribute('clrk.aiproviderroute.name', routeName))
  }
  if (rule !== null) attributes.push(attribute('clrk.egress.rule', rule))
  if (provider !== null && provider.id !== 'custom') {
    attributes.push(attribute('gen_ai.system', provider.genAiSystem))
  }
  const authority = port === (scheme === 'https' ? 443 : 80) ? name : `${name}:${port}`
  return {
    agent,
    attributes: attributes.join(','),
    name,
    origin: `${scheme}://${authority}`,
    provider,
    saidOfProvider: provider === null ? '' : ` provider=${provider.id}`,
    saidOfRoute: route === null ? '' : ` route=${route}`,
    request: null,
    response: null,
  }
}

/** The request half of `exchange`; the same as the last one's where its head is. */
export function requestOf(exchange: Exchange, subject: EncodedSubject, redactor: Redactor): EncodedRequest {
  const known = subject.request
  if (known !== null && isSame(known.key, exchange)) return known
  // By value first and on whole texts: taken apart (at a `?`), lower-cased or decoded, a secret would not be known.
  const [method, target] = [redactor.text(exchange.method), redactor.text(exchange.target)]
  const fields = fieldsOf(redactor.text(exchange.requestHead))
  const path = target.split('?', 1)[0] ?? ''
  const operation = subject.provider?.operation(path) ?? null
  const encoded: EncodedRequest = {
    // Not the exchange itself: its bodies would be kept with it.
    key: {
      method: exchange.method,
      target: exchange.target,
      requestHead: exchange.requestHead,
      injected: exchange.injected,
    },
    path,
    operation,
    name: quote(operation ?? `${method} ${subject.name}`),
    summary: `${method} ${subject.name}${path} `,
    attributes: flat(
      `${subject.attributes},${attributesOf([
        ['http.request.method', method],
        ['url.path', path],
        ['url.full', `${subject.origin}${redactQuery(target)}`],
        ...(operation === null ? [] : [['gen_ai.operation.name', operation] as const]),
      ])}`,
    ),
    headers: headersOf('request', fields, exchange.injected),
    ...bodyFields(fields),
  }
  subject.request = encoded
  return encoded
}

/** The answer's half, in the same way. */
export function responseOf({ responseHead }: Exchange, subject: EncodedSubject, redactor: Redactor): EncodedResponse {
  const known = subject.response
  if (known !== null && known.key === responseHead) return known
  const fields = fieldsOf(redactor.text(responseHead))
  const encoded = {
    key: responseHead,
    headers: fields.size === 0 ? '' : headersOf('response', fields, []),
    ...bodyFields(fields),
  }
  subject.response = encoded
  return encoded
}

function isSame(key: EncodedRequest['key'], exchange: Exchange): boolean {
  return (
    key.target === exchange.target &&
    key.method === exchange.method &&
    key.requestHead === exchange.requestHead &&
    key.injected.length === exchange.injected.length &&
    key.injected.every((name, index) => name === exchange.injected[index])
  )
}

function headersOf(
  side: 'request' | 'response',
  fields: ReadonlyMap<string, string>,
  injected: readonly string[],
): string {
  const set = injected.map(name => name.toLowerCase())
  const headers = set.map(name => attribute(`http.${side}.header.${name}`, REDACTED))
  for (const [name, value] of fields) {
    if (set.includes(name)) continue
    headers.push(attribute(`http.${side}.header.${name}`, isSecretHeader(name) ? REDACTED : redactQuery(value)))
  }
  return flat(eventOf(`http.${side}.headers`, headers.join(',')))
}

/** V8 keeps what was put together as a tree of its parts, and would walk through it for every record that it is a part of. */
function flat(ascii: string): string {
  return Buffer.from(ascii, 'latin1').toString('latin1')
}

function bodyFields(fields: ReadonlyMap<string, string>): BodyFields {
  return { type: (fields.get('content-type') ?? '').toLowerCase(), encoding: fields.get('content-encoding') ?? null }
}
