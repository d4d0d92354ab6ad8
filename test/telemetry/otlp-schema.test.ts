/**
 * What the encoder writes is OTLP: it is parsed with the official protobuf schema (PyPI `opentelemetry-proto`, with
 * unknown fields refused), which this test installs once into a cache directory of its own. Needs python3 with pip.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { member } from '../../src/providers/json.ts'
import { createBatch } from '../../src/telemetry/batch.ts'
import type { Exchange } from '../../src/telemetry/exchange.ts'
import type { Attribute } from '../../src/telemetry/otlp.ts'
import { createRecorder, egressResource } from '../../src/telemetry/record.ts'
import { createRedactor } from '../../src/telemetry/redact.ts'
import { exchange } from './exchange.ts'

const PACKAGE = 'opentelemetry-proto==1.45.2'
const RESOURCE = egressResource('default/echo-bot')

test('spans and logs parse with the official schema, hostile strings and all', () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1')
  const hostile = `x-\x00\x1b[31m"\\ ${everyByte.replaceAll('\r', '').replaceAll('\n', '')} \ud800 \udc00 € 😀`
  const exchanges = [
    exchange(),
    exchange({ traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', status: 500 }),
    exchange({
      requestHead: `X-A: ${hostile}\r\n${hostile}: b\r\n`,
      target: `/${hostile}?${hostile}=1`,
      method: hostile,
    }),
    exchange({
      responseBody: [Buffer.from('{"model":"\\ud800\\u0000","usage":{"input_tokens":9007199254740991}}')],
      name: hostile,
      status: 0,
      error: { code: 'CLRK_UPSTREAM_UNREACHABLE', details: { name: hostile, port: 443, reason: hostile } },
    }),
  ]
  const odd: Attribute[] = [
    ['double', 1.5],
    ['nan', Number.NaN],
    ['infinity', Number.NEGATIVE_INFINITY],
    ['big', 2 ** 60],
    ['negative', -3],
    ['empty', ''],
  ]
  const { traces, logs } = encode([...RESOURCE, ...odd], exchanges)
  const nothing = encode([], [])
  const [spans, lines] = parsed([
    ['traces', traces],
    ['logs', logs],
    ['traces', nothing.traces],
    ['logs', nothing.logs],
  ])

  const resource = Object.fromEntries(
    list(spans, 'resourceSpans.0.resource.attributes').map(given => [at(given, 'key'), at(given, 'value')]),
  )
  assert.deepEqual(resource, {
    'service.name': { stringValue: 'clrk-egress' },
    'clrk.component': { stringValue: 'egress-proxy' },
    'clrk.egress_gateway': { stringValue: 'default/echo-bot' },
    double: { doubleValue: 1.5 },
    nan: { doubleValue: 'NaN' },
    infinity: { doubleValue: '-Infinity' },
    big: { doubleValue: 2 ** 60 },
    negative: { intValue: '-3' },
    empty: { stringValue: '' },
  })
  const [plain, child, strange, broken] = list(spans, 'resourceSpans.0.scopeSpans.0.spans')
  assert.equal(at(plain, 'kind'), 'SPAN_KIND_SERVER')
  assert.equal(at(plain, 'startTimeUnixNano'), '1767225600000000000')
  assert.equal(at(plain, 'status'), null)
  assert.equal(hex(at(child, 'traceId')), '4bf92f3577b34da6a3ce929d0e0e4736')
  assert.equal(hex(at(child, 'parentSpanId')), '00f067aa0ba902b7')
  assert.deepEqual(at(child, 'status'), { code: 'STATUS_CODE_ERROR', message: 'HTTP 500' })
  assert.match(String(at(strange, 'name')), /\\x1b\[31m/)
  assert.match(JSON.stringify(broken), /"intValue":"9007199254740991"/)
  for (const text of [JSON.stringify(spans), JSON.stringify(lines)]) {
    assert.doesNotMatch(text, /\\u00[01]|[\x00-\x1f\x7f-\x9f]/) // T106
  }
  const [, failed] = list(lines, 'resourceLogs.0.scopeLogs.0.logRecords')
  assert.equal(at(failed, 'severityNumber'), 'SEVERITY_NUMBER_ERROR')
  assert.equal(at(failed, 'severityText'), 'ERROR')
  assert.equal(at(failed, 'traceId'), at(child, 'traceId'))
  assert.match(String(at(failed, 'body.stringValue')), /^POST api\.anthropic\.com\/v1\/messages 500 /)
})

test('the schema refuses what is not OTLP: the test above can fail', () => {
  const { traces } = encode(RESOURCE, [exchange()])
  for (const broken of [
    traces.replace('"name"', '"unknown"'),
    traces.replace('"intValue":"443"', '"intValue":"x"'),
    traces.replace(/"traceId":"../, '"traceId":"'),
    traces.replace('"kind":2', '"kind":"SERVER"'),
  ]) {
    assert.notEqual(broken, traces)
    assert.throws(() => parsed([['traces', broken]]))
  }
})

/** Both payloads, by what the exporter makes them with. */
function encode(resource: readonly Attribute[], exchanges: readonly Exchange[]) {
  const { record } = createRecorder(createRedactor(['unused-secret']))
  const batch = createBatch(resource)
  for (const given of exchanges) batch.add(record(given))
  const [traces = '', logs = ''] = batch.payloads().map(([, buffers]) => Buffer.concat(buffers).toString('latin1'))
  return { traces, logs }
}

function at(value: unknown, path: string): unknown {
  return member(value, ...path.split('.'))
}

function list(value: unknown, path: string): unknown[] {
  const found = at(value, path)
  assert.ok(Array.isArray(found), path)
  return found
}

function hex(base64: unknown): string {
  return Buffer.from(String(base64), 'base64').toString('hex')
}

function parsed(requests: readonly (readonly [string, string])[]): unknown[] {
  const input = requests.map(([signal, payload]) => `${signal}\t${payload}\n`).join('')
  const output = execFileSync('python3', [join(import.meta.dirname, 'otlp-schema.py')], {
    input,
    env: { ...process.env, PYTHONPATH: schemaDirectory() },
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    maxBuffer: 67_108_864,
  })
  return output
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

/** Installed beside and then renamed, so that a directory that is there is whole. */
function schemaDirectory(): string {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'clrk-test')
  const directory = join(cache, PACKAGE.replace('==', '-'))
  if (existsSync(directory)) return directory
  const fresh = `${directory}.${process.pid}`
  mkdirSync(fresh, { recursive: true })
  const options = ['--quiet', '--no-input', '--disable-pip-version-check', '--root-user-action', 'ignore']
  execFileSync('python3', ['-m', 'pip', 'install', ...options, '--target', fresh, PACKAGE], { stdio: 'inherit' })
  try {
    renameSync(fresh, directory)
  } catch (error) {
    if (!existsSync(directory)) throw error // another run was faster
    rmSync(fresh, { recursive: true })
  }
  return directory
}
