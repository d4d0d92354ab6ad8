/** A secret planted in every place of an exchange, in every form, is nowhere in what is exported (T82). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { createExporter } from '../../src/telemetry/export.ts'
import { egressResource } from '../../src/telemetry/record.ts'
import { exchange, SECRET } from './exchange.ts'

const OLD = 'sk-ant-OLDKEY-0011223344556677'
const FORMS = [SECRET, encodeURIComponent(SECRET), JSON.stringify(SECRET).slice(1, -1), base64(`user:${SECRET}`), OLD]
/** Any of these in the output is a leak; base64 is decoded before it is searched. */
const TRACES = ['CANARY', '7f3a+9b', 'd41??e8', 'OLDKEY', '00112233']

test('no form of a secret leaves, wherever agent and provider put it', async () => {
  const planted = FORMS.flatMap(form => [
    exchange({ requestHead: `x-note: ${form}\r\nX-Api-Key: ${form}\r\nauthorization: Bearer ${form}\r\n` }),
    exchange({ requestHead: `x-${form.replace(/[^\w-]/g, '')}: 1\r\nx-a: ${form}, ${form}\r\n` }),
    exchange({ target: `/v1/${form}/x?q=${form}&key=${form}`, method: 'GET' }),
    exchange({ name: `${form}.example`, provider: null, route: null }),
    exchange({ responseHead: `content-type: application/json\r\nx-echo: ${form}\r\nlocation: /?a=${form}\r\n` }),
    exchange({ requestBody: [Buffer.from(`{"model":"${form}","a":"${form}"}`, 'latin1')] }),
    exchange({
      responseBody: [...Buffer.from(`{"model":"m","a":"${form}"}`, 'latin1')].map(byte => Buffer.from([byte])),
    }),
    exchange({
      responseHead: 'content-type: text/event-stream\r\n',
      responseBody: [Buffer.from(`data: {"model":"${form}","usage":{"prompt_tokens":1}}\n\n`, 'latin1')],
      provider: 'openai',
    }),
    exchange({
      responseHead: 'content-type: application/json\r\ncontent-encoding: gzip\r\n',
      responseBody: [gzipSync(Buffer.from(`{"a":"${form}"}`, 'latin1'))],
    }),
    exchange({
      status: 502,
      error: { code: 'CLRK_UPSTREAM_UNREACHABLE', details: { name: 'a', port: 1, reason: form } },
    }),
    exchange({ target: `/openai/deployments/${form}/chat/completions`, provider: 'azure-openai' }),
  ])
  // The provider may spell a value so that only a JSON parser sees it.
  planted.push(
    exchange({
      responseBody: [Buffer.from(`{"model":"sk\\u002dant-OLDKEY-0011223344556677","usage":{"input_tokens":1}}`)],
    }),
  )
  const output: string[] = []
  const exporter = createExporter({
    endpoint: null,
    headers: {},
    resource: egressResource('default/echo-bot'),
    onFailure: reason => output.push(reason),
  })
  exporter.setTee((_signal, payload) => output.push(payload))
  exporter.setSecretValues([OLD])
  exporter.setSecretValues([SECRET]) // rotated: requests with the old value may still be recorded
  for (const one of planted) exporter.add(one)
  await exporter.close()

  assert.equal(exporter.counters().recorded, planted.length)
  const everything = output.join('\n')
  assert.ok(everything.includes('[redacted]'))
  assertClean(everything)
  const bodies = [...everything.matchAll(/"clrk\.body\.b64","value":\{"stringValue":"([^"]+)/g)]
  assert.ok(bodies.length > planted.length)
  for (const [, body = ''] of bodies) assertClean(Buffer.from(body, 'base64').toString('latin1'))
})

function assertClean(text: string): void {
  for (const trace of TRACES)
    assert.ok(!text.includes(trace), `${trace} near ${text.slice(text.indexOf(trace) - 90).slice(0, 200)}`)
  for (const form of FORMS) assert.ok(!text.includes(form), form)
  for (const [word] of text.matchAll(/[A-Za-z0-9+/_-]{16,}={0,2}/g)) {
    for (const offset of [0, 1, 2, 3]) {
      const decoded = Buffer.from(word.slice(offset), 'base64').toString('latin1')
      for (const trace of TRACES) assert.ok(!decoded.includes(trace), `${trace} in ${word}`)
    }
  }
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64')
}
