/**
 * One finished exchange → one span and one log record, with the names of OpenTelemetry's conventions and of the
 * system in the seed (`http.*`, `gen_ai.*`, `agent.*`, `clrk.*`). Built after the exchange, off the request's path;
 * everything in it is redacted already. Pure but for fresh ids.
 *
 * What repeats is encoded once: what a subject says of itself (subject.ts), and the heads of the exchange before.
 */
import { type ClrkFault, describe } from '../errors.ts'
import type { Usage } from '../providers/provider.ts'
import { type ReadBody, readBody, requestModel, usageOf } from './content.ts'
import type { Exchange, Subject } from './exchange.ts'
import { isStream } from './heads.ts'
import { spanIds } from './ids.ts'
import {
  type Attribute,
  attribute,
  encodeIds,
  encodeLog,
  encodeSpan,
  event,
  nanoseconds,
  quote,
  type Span,
  type SpanIds,
} from './otlp.ts'
import type { Redactor } from './redact.ts'
import { describeSubject, type EncodedRequest, type EncodedSubject, requestOf, responseOf } from './subject.ts'

/** Both as OTLP/JSON. */
export type Recorded = { readonly span: string; readonly log: string }

export type Recorder = {
  /** Never throws, whatever agent and provider sent. */
  readonly record: (exchange: Exchange, ids?: SpanIds) => Recorded
}

/** The resource of everything that one gateway's proxies record. */
export function egressResource(gateway: string): readonly Attribute[] {
  return [
    ['service.name', 'clrk-egress'],
    ['clrk.component', 'egress-proxy'],
    ['clrk.egress_gateway', gateway],
  ]
}

/** What it remembers was redacted by this redactor: another one needs another recorder. */
export function createRecorder(redactor: Redactor): Recorder {
  const subjects = new WeakMap<Subject, EncodedSubject>()
  return {
    record: (exchange, ids = spanIds(exchange.traceparent)) => {
      let subject = subjects.get(exchange.subject)
      if (subject === undefined) {
        subject = describeSubject(exchange.subject, redactor)
        subjects.set(exchange.subject, subject)
      }
      return recordExchange(exchange, subject, redactor, ids)
    },
  }
}

/**
 * Long pieces and few of them: what a record costs is the number of strings that it is put together from. So the parts
 * that do not change stand together in one, and what the span and the log record both say is made once.
 */
function recordExchange(exchange: Exchange, subject: EncodedSubject, redactor: Redactor, ids: SpanIds): Recorded {
  const { status, error, requestBodyBytes, responseBodyBytes } = exchange
  const { provider } = subject
  const request = requestOf(exchange, subject, redactor)
  const response = responseOf(exchange, subject, redactor)
  const sent = readBody(exchange.requestBody, exchange.requestTruncated, request, false, redactor)
  const answered = readBody(exchange.responseBody, exchange.responseTruncated, response, true, redactor)
  const model = redacted(redactor, provider === null ? null : requestModel(provider, request.path, sent))
  const usage = provider === null ? null : usageOf(provider, exchange.usageEvents, answered)
  const fault = error === null ? null : describe(error)
  const start = nanoseconds(exchange.startMs)
  const end = nanoseconds(exchange.endMs)
  const milliseconds = Math.round(exchange.endMs - exchange.startMs)

  const outcome = outcomeOf(status, fault)
  const size = sizeOf(exchange, milliseconds)
  const ai = provider === null ? '' : modelAttributes(redactor, { model, usage, type: answered.type })
  let events = event(start, request.headers)
  if (sent.captured) events += `,${bodyEvent(REQUEST_BODY, start, sent, requestBodyBytes)}`
  if (response.headers !== '') events += `,${event(end, response.headers)}`
  if (answered.captured) events += `,${bodyEvent(RESPONSE_BODY, end, answered, responseBodyBytes)}`
  const span: Span = {
    ids: encodeIds(ids),
    parentSpanId: ids.parentSpanId,
    name: request.operation === null || model === null ? request.name : quote(`${request.operation} ${model}`),
    start,
    end,
    attributes: `${request.attributes}${size}${outcome}${ai}`,
    events,
    failure: status >= 400 || status === 0 || fault !== null ? failureOf(status, fault, redactor) : null,
  }
  return {
    span: encodeSpan(span),
    log: encodeLog(span, {
      severity: status >= 500 ? 'ERROR' : status === 0 || status >= 400 ? 'WARN' : 'INFO',
      body: quote(summaryOf(exchange, { request, milliseconds, model, usage, subject })),
      attributes: subject.agent + outcome,
    }),
  }
}

type Fault = { readonly code: ClrkFault['code']; readonly status: number; readonly why: string }

function outcomeOf(status: number, fault: Fault | null): string {
  const code = status === 0 ? '' : `,{"key":"http.response.status_code","value":{"intValue":"${status}"}}`
  if (fault === null) return code
  const reason = fault.status === 403 ? `,${attribute('clrk.egress.deny_reason', 'policy')}` : ''
  return `${code},${attribute('error.type', fault.code)}${reason}`
}

function sizeOf(exchange: Exchange, milliseconds: number): string {
  const { requestBodyBytes, responseBodyBytes, responseChunks, requestTruncated, responseTruncated } = exchange
  return `,{"key":"clrk.req.bytes","value":{"intValue":"${requestBodyBytes}"}},{"key":"clrk.resp.bytes","value":{"intValue":"${responseBodyBytes}"}},{"key":"clrk.resp.chunks","value":{"intValue":"${responseChunks}"}},{"key":"clrk.duration_ms","value":{"intValue":"${milliseconds}"}}${
    requestTruncated || responseTruncated
      ? `,${attribute('clrk.req.truncated', requestTruncated)},${attribute('clrk.resp.truncated', responseTruncated)}`
      : NOTHING_TRUNCATED
  }`
}

type Seen = { readonly model: string | null; readonly usage: Usage | null }

function modelAttributes(redactor: Redactor, { model, usage, type }: Seen & { readonly type: string }): string {
  let json = isStream(type) ? STREAMED : NOT_STREAMED
  if (model !== null) json += `,{"key":"gen_ai.request.model","value":{"stringValue":${quote(model)}}}`
  if (usage === null) return json + USAGE_UNSEEN
  json += USAGE_SEEN
  const answered = redacted(redactor, usage.model)
  if (answered !== null) json += `,{"key":"gen_ai.response.model","value":{"stringValue":${quote(answered)}}}`
  const { inputTokens, outputTokens } = usage
  if (inputTokens !== null) json += `,{"key":"gen_ai.usage.input_tokens","value":{"intValue":"${inputTokens}"}}`
  if (outputTokens !== null) json += `,{"key":"gen_ai.usage.output_tokens","value":{"intValue":"${outputTokens}"}}`
  return json
}

/** `start`: of the event's encoding, from its name to the number of bytes. */
function bodyEvent(start: string, timeNs: string, { content, encoding, cut }: ReadBody, bytes: number): string {
  // Decoded content is held to what plain content is held to.
  const overlong = content !== null && cut === 'none' && content.length > Math.max(bytes, DECODED_SHOWN_BYTES)
  const shown = overlong ? content.subarray(0, DECODED_SHOWN_BYTES) : content
  const coding = encoding === null ? '' : `,${attribute('clrk.body.content_encoding', encoding)}`
  const text = shown === null ? '' : `,{"key":"clrk.body.b64","value":{"stringValue":"${shown.toString('base64')}"}}`
  return event(timeNs, `${start}${bytes}${cut !== 'none' || overlong ? TRUNCATED : WHOLE}${coding}${text}]`)
}

function failureOf(status: number, fault: Fault | null, redactor: Redactor): string {
  return fault === null ? `HTTP ${status}` : redactor.text(`${fault.code}: ${fault.why}`)
}

/** What a log record says, on one line. */
function summaryOf(
  { status, requestBodyBytes, responseBodyBytes, error }: Exchange,
  seen: Seen & { readonly milliseconds: number; readonly subject: EncodedSubject; readonly request: EncodedRequest },
): string {
  const { milliseconds, model, usage, subject, request } = seen
  const asked = model === null ? '' : ` model=${model}`
  const used = usage === null ? '' : ` tokens=${usage.inputTokens ?? '?'}/${usage.outputTokens ?? '?'}`
  const failed = error === null ? '' : ` ${error.code}`
  return `${request.summary}${status} ${milliseconds}ms req=${requestBodyBytes}B resp=${responseBodyBytes}B${subject.saidOfProvider}${asked}${used}${subject.saidOfRoute}${failed}`
}

function redacted(redactor: Redactor, text: string | null): string | null {
  return text === null ? null : redactor.text(text)
}

const DECODED_SHOWN_BYTES = 65_536
const NOTHING_TRUNCATED =
  ',{"key":"clrk.req.truncated","value":{"boolValue":false}},{"key":"clrk.resp.truncated","value":{"boolValue":false}}'
const STREAMED = ',{"key":"gen_ai.response.stream","value":{"boolValue":true}}'
const NOT_STREAMED = ',{"key":"gen_ai.response.stream","value":{"boolValue":false}}'
const USAGE_SEEN = ',{"key":"clrk.body.usage_visible","value":{"boolValue":true}}'
const USAGE_UNSEEN = ',{"key":"clrk.body.usage_visible","value":{"boolValue":false}}'
const REQUEST_BODY = bodyStart('request')
const RESPONSE_BODY = bodyStart('response')
const WHOLE = '"}},{"key":"clrk.body.truncated","value":{"boolValue":false}}'
const TRUNCATED = '"}},{"key":"clrk.body.truncated","value":{"boolValue":true}}'

function bodyStart(side: 'request' | 'response'): string {
  return `"http.${side}.body","attributes":[{"key":"clrk.body.bytes","value":{"intValue":"`
}
