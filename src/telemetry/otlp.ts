/**
 * OTLP/JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hex, 64-bit integers as strings,
 * enums as numbers, no unknown field. Pure; whatever the strings hold, the result is valid JSON in valid Unicode.
 */
import { inert } from './redact.ts'

/** A number is written as an integer where it is one. */
export type Attribute = readonly [key: string, value: string | number | boolean]

/** Of kind SERVER. */
export type Span = {
  /** 32 and 16 hex digits; the parent null at the root. */
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | null
  readonly name: string
  readonly startTimeNs: bigint
  readonly endTimeNs: bigint
  readonly attributes: readonly Attribute[]
  readonly events: readonly SpanEvent[]
  /** Null: the status is unset; else it is Error and this says why. */
  readonly failure: string | null
}

export type SpanEvent = { readonly name: string; readonly timeNs: bigint; readonly attributes: readonly Attribute[] }

/** What a log record says beside its span's ids, end and attributes, which are its own too. */
export type LogRecord = { readonly severity: keyof typeof SEVERITY; readonly body: string }

export type Recorded = { readonly span: Span; readonly log: LogRecord }

/** An ExportTraceServiceRequest and an ExportLogsServiceRequest. Takes one record at a time: none has to be kept. */
export function encode(
  resource: readonly Attribute[],
  records: Iterable<Recorded>,
): { readonly traces: string; readonly logs: string } {
  const head = `"resource":{"attributes":${attributesOf(resource)}}`
  const traces = [`{"resourceSpans":[{${head},"scopeSpans":[{${SCOPE},"spans":[`]
  const logs = [`{"resourceLogs":[{${head},"scopeLogs":[{${SCOPE},"logRecords":[`]
  let comma = ''
  for (const { span, log } of records) {
    const attributes = attributesOf(span.attributes)
    traces.push(comma, spanOf(span, attributes))
    logs.push(comma, logOf(span, log, attributes))
    comma = ','
  }
  traces.push(']}]}]}')
  logs.push(']}]}]}')
  return { traces: traces.join(''), logs: logs.join('') }
}

function spanOf(span: Span, attributes: string): string {
  const parent = span.parentSpanId === null ? '' : `"parentSpanId":"${span.parentSpanId}",`
  const status = span.failure === null ? '' : `,"status":{"code":${STATUS_ERROR},"message":${quote(span.failure)}}`
  return (
    `{"traceId":"${span.traceId}","spanId":"${span.spanId}",${parent}"name":${quote(span.name)},"kind":${KIND_SERVER},` +
    `"startTimeUnixNano":"${span.startTimeNs}","endTimeUnixNano":"${span.endTimeNs}",` +
    `"attributes":${attributes},"events":[${span.events.map(eventOf).join(',')}]${status}}`
  )
}

function eventOf({ name, timeNs, attributes }: SpanEvent): string {
  return `{"timeUnixNano":"${timeNs}","name":${quote(name)},"attributes":${attributesOf(attributes)}}`
}

function logOf({ endTimeNs, traceId, spanId }: Span, { severity, body }: LogRecord, attributes: string): string {
  return (
    `{"timeUnixNano":"${endTimeNs}","observedTimeUnixNano":"${endTimeNs}",` +
    `"severityNumber":${SEVERITY[severity]},"severityText":"${severity}","body":{"stringValue":${quote(body)}},` +
    `"attributes":${attributes},"traceId":"${traceId}","spanId":"${spanId}"}`
  )
}

function attributesOf(attributes: readonly Attribute[]): string {
  let json = ''
  // Few and long pieces: what a string costs is the number of pieces that it is put together from.
  for (const [key, value] of attributes) {
    if (typeof value === 'string') {
      json += before(key, 'stringValue')
      json += PLAIN.test(value) ? value : escaped(value)
    } else if (typeof value === 'boolean') json += before(key, 'boolValue') + value
    else if (Number.isSafeInteger(value)) json += before(key, 'intValue') + value
    else json += before(key, 'doubleValue') + value
    json += typeof value === 'boolean' ? '}}' : '"}}'
  }
  return `[${json.slice(1)}]`
}

/** What stands before a value; most keys come again and again. */
function before(key: string, kind: keyof typeof BEFORE): string {
  const known = BEFORE[kind].get(key)
  if (known !== undefined) return known
  const encoded = `,{"key":${quote(key)},"value":{"${kind}":${kind === 'boolValue' ? '' : '"'}`
  if (BEFORE[kind].size < KEYS_MAXIMUM) BEFORE[kind].set(key, encoded)
  return encoded
}

function quote(text: string): string {
  return `"${PLAIN.test(text) ? text : escaped(text)}"`
}

/** A JSON string without its quotes; control characters come out visible, so that once parsed nothing is left to obey (T106). */
function escaped(text: string): string {
  return JSON.stringify(inert(text).toWellFormed()).slice(1, -1)
}

const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/
const BEFORE = {
  stringValue: new Map<string, string>(),
  boolValue: new Map<string, string>(),
  intValue: new Map<string, string>(),
  /** As a string, which the JSON mapping takes for doubles too, and NaN and Infinity need. */
  doubleValue: new Map<string, string>(),
}
const KEYS_MAXIMUM = 1_024
const SCOPE = '"scope":{"name":"clrk"}'
const KIND_SERVER = 2
const STATUS_ERROR = 2
const SEVERITY = { INFO: 9, WARN: 13, ERROR: 17 } as const
