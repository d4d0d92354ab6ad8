import assert from 'node:assert/strict'
import test from 'node:test'
import { otelLines } from '../../src/cli/otel-lines.ts'
import { lineReader, printable, screen } from '../../src/cli/render.ts'

test('nothing that an agent prints controls the terminal or looks like another line (T106)', () => {
  assert.equal(printable('a\tb\x1b[2J\r\x07\x9b\u202e\u2028\x7f'), 'a\tb\\x1b[2J\\x0d\\x07\\x9b\\u{202e}\\u{2028}\\x7f')
  assert.equal(printable('é 漢 🙂'), 'é 漢 🙂')
  let shown = ''
  screen(text => {
    shown += text
  }, false).line('agent\x1b', 'one\notel-traces  forged')
  assert.equal(
    shown,
    'agent\\x1b     one\nagent\\x1b     otel-traces  forged\n'.replaceAll('     ', ' '.repeat(13 - 9)),
  )
})

test('colours are there only where they are asked for', () => {
  const shown: string[] = []
  screen(text => shown.push(text), true).line('a', 'x')
  screen(text => shown.push(text), false).line('a', 'x')
  assert.match(shown[0] ?? '', /^\x1b\[\d+ma +\x1b\[0m {2}x\n$/)
  assert.doesNotMatch(shown[1] ?? '', /\x1b/)
})

test('bytes become the same lines wherever they are cut', () => {
  const bytes = Buffer.from('é\r\n\n漢字\nrest')
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const lines: string[] = []
    const reader = lineReader(line => lines.push(line))
    reader.push(bytes.subarray(0, cut))
    reader.push(bytes.subarray(cut))
    reader.end()
    assert.deepEqual(lines, ['é', '', '漢字', 'rest'])
  }
})

test('a line without end is given out in pieces', () => {
  const lines: string[] = []
  const reader = lineReader(line => lines.push(line))
  for (let i = 0; i < 10; i += 1) reader.push(Buffer.alloc(20_000, 'x'))
  assert.equal(lines.length, 2)
})

const attribute = (key: string, value: unknown) => ({ key, value })
const SPAN = {
  name: 'chat claude-sonnet-4-5',
  startTimeUnixNano: '1000000000',
  endTimeUnixNano: '1210000000',
  attributes: [
    attribute('http.response.status_code', { intValue: '200' }),
    attribute('gen_ai.usage.input_tokens', { intValue: '12' }),
    attribute('gen_ai.usage.output_tokens', { intValue: '34' }),
  ],
  events: [
    {
      name: 'http.request.headers',
      attributes: [
        attribute('http.request.header.host', { arrayValue: { values: [{ stringValue: 'api.anthropic.com' }] } }),
        attribute('http.request.header.x-api-key', { arrayValue: { values: [{ stringValue: '[redacted]' }] } }),
      ],
    },
  ],
}

test('a span is one line with status, tokens, time and the redacted credential', () => {
  const payload = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [SPAN, { name: 'GET a.example' }] }] }] })
  assert.deepEqual(otelLines('traces', payload), [
    'chat claude-sonnet-4-5 200 in 12 out 34 tokens 210 ms x-api-key [redacted]',
    'GET a.example 0 ms',
  ])
})

test('a log record is its severity and body', () => {
  const record = { severityText: 'WARN', body: { stringValue: 'GET a.example/ 404' } }
  const payload = JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] })
  assert.deepEqual(otelLines('logs', payload), ['WARN GET a.example/ 404'])
})

test('a payload of another shape gives no lines', () => {
  for (const payload of [
    '',
    '[]',
    '7',
    'null',
    '{"resourceSpans":{}}',
    '{"resourceSpans":[null,{"scopeSpans":[7]}]}',
  ]) {
    assert.deepEqual(otelLines('traces', payload), [])
  }
  assert.deepEqual(otelLines('traces', '{"resourceSpans":[{"scopeSpans":[{"spans":[null]}]}]}'), ['0 ms'])
})
