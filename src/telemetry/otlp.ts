/**
 * OTLP/JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hex, 64-bit integers as strings,
 * enums as numbers, no unknown field. Pure; whatever the strings hold, the result is valid JSON, of ASCII alone: its
 * bytes are its characters.
 */
import { inert } from './redact.ts'

/** A number is written as an integer where it is one. */
export type Attribute = readonly [key: string, value: string | number | boolean]

export type Signal = 'traces' | 'logs'

/** 32 and 16 hex digits; the parent null at the root. */
export type SpanIds = { readonly traceId: string; readonly spanId: string; readonly parentSpanId: string | null }

/** Of kind SERVER. Times are decimal nanoseconds since 1970; the lists are joined by commas. */
export type Span = {
  /** Made by `encodeIds`. */
  readonly ids: string
  readonly parentSpanId: string | null
  /** Quoted. */
  readonly name: string
  readonly start: string
  readonly end: string
  /** As `attributesOf` makes them. */
  readonly attributes: string
  /** As `event` makes them. */
  readonly events: string
  /** Null: the status is unset; else it is Error and this says why. */
  readonly failure: string | null
}

/** `body` quoted, `attributes` as for a span. */
export type LogRecord = {
  readonly severity: keyof typeof SEVERITY
  readonly body: string
  readonly attributes: string
}

/** The beginning of an ExportTraceServiceRequest or ExportLogsServiceRequest: records and `PAYLOAD_END` follow. */
export function payloadStart(signal: Signal, resource: readonly Attribute[]): string {
  const of = `"resource":{"attributes":[${attributesOf(resource)}]}`
  return signal === 'traces'
    ? `{"resourceSpans":[{${of},"scopeSpans":[{${SCOPE},"spans":[`
    : `{"resourceLogs":[{${of},"scopeLogs":[{${SCOPE},"logRecords":[`
}

export const PAYLOAD_END = ']}]}]}'

export function encodeSpan({ ids, parentSpanId, name, start, end, attributes, events, failure }: Span): string {
  const parent = parentSpanId === null ? '' : `"parentSpanId":"${parentSpanId}",`
  const status = failure === null ? '' : `,"status":{"code":${STATUS_ERROR},"message":${quote(failure)}}`
  return `{${ids}${parent}"kind":${KIND_SERVER},"name":${name},"startTimeUnixNano":"${start}","endTimeUnixNano":"${end}","attributes":[${attributes}],"events":[${events}]${status}}`
}

/** The log record that goes with a span: the same ids, at its end. */
export function encodeLog({ ids, end }: Span, { severity, body, attributes }: LogRecord): string {
  return `{${ids}"timeUnixNano":"${end}","observedTimeUnixNano":"${end}${SEVERITY[severity]}${body}},"attributes":[${attributes}]}`
}

/** What a span and its log record both say of themselves, with a comma behind it. */
export function encodeIds({ traceId, spanId }: SpanIds): string {
  return `"traceId":"${traceId}","spanId":"${spanId}",`
}

/** `rest`: the name, quoted, and its attributes (`eventOf`). */
export function event(timeNs: string, rest: string): string {
  return `{"timeUnixNano":"${timeNs}","name":${rest}}`
}

/** What `event` takes. */
export function eventOf(name: string, attributes: string): string {
  return `${quote(name)},"attributes":[${attributes}]`
}

/** Joined by commas, without brackets. */
export function attributesOf(attributes: readonly Attribute[]): string {
  return attributes.map(([key, value]) => attribute(key, value)).join(',')
}

export function attribute(key: string, value: string | number | boolean): string {
  return `{"key":${quote(key)},"value":${anyValue(value)}}`
}

/** A JSON string. Control characters come out visible, so that once parsed nothing is left to obey (T106). */
export function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  return JSON.stringify(inert(text).toWellFormed()).replace(
    NOT_ASCII,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Milliseconds since 1970 as decimal nanoseconds; they are true to a quarter of a microsecond (a double has no more). */
export function nanoseconds(milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000)
  // The digit in front keeps the zeros behind it.
  return `${second}${`${1e9 + Math.floor((milliseconds - second * 1000) * 1e6)}`.slice(1)}`
}

function anyValue(value: string | number | boolean): string {
  if (typeof value === 'string') return `{"stringValue":${quote(value)}}`
  if (typeof value === 'boolean') return `{"boolValue":${value}}`
  // A double stands as a string, which the JSON mapping takes, and NaN and Infinity need.
  return Number.isSafeInteger(value) ? `{"intValue":"${value}"}` : `{"doubleValue":"${value}"}`
}

const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/
const NOT_ASCII = /[^\x20-\x7e]/g
const SCOPE = '"scope":{"name":"clrk"}'
const KIND_SERVER = 2
const STATUS_ERROR = 2
/** What stands between a log record's time and its body. */
const SEVERITY = { INFO: severity('INFO', 9), WARN: severity('WARN', 13), ERROR: severity('ERROR', 17) } as const

function severity(text: string, number: number): string {
  return `","severityNumber":${number},"severityText":"${text}","body":{"stringValue":`
}
