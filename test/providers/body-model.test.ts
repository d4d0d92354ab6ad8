/** One body names one model, for every parser: what any of them could read otherwise is refused (T44), however it is cut. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createModelScanner, type SaidModel } from '../../src/providers/body-model.ts'

const NAMED: readonly (readonly [string, string])[] = [
  ['{"model":"gpt-4o"}', 'gpt-4o'],
  [' {\r\n\t"messages" : [ {"model": "other", "x": [[], {}, "]}", 1.5e-3, -0, true, null]} ] , "model" : "m" }\n', 'm'],
  ['{"model":"a\\u0062\\/\\"c\\\\"}', 'ab/"c\\'],
  ['{"model":"é😀\\ud83d\\ude00"}', 'é😀😀'],
  ['{"models":["x"],"model_":1,"":2,"mode":"l","model":"m"}', 'm'],
  [
    `{"x":"${'y'.repeat(5_000)}","deep":${'['.repeat(511)}${']'.repeat(511)},"model":"${'m'.repeat(256)}"}`,
    'm'.repeat(256),
  ],
]

const JSON_ERROR = 'it is not well-formed JSON'
const TWICE = 'it has "model" twice'
const ESCAPES = 'a name in it has escapes or is not ASCII'
const NO_NAME = '"model" is no name of 1 to 256 characters without control characters'
const UNREADABLE: readonly (readonly [string | Buffer, string])[] = [
  ['', 'it is empty'],
  [' \n', 'it is empty'],
  ['[]', 'it is no JSON object'],
  ['"model"', 'it is no JSON object'],
  ['\ufeff{"model":"m"}', 'it is no JSON object'],
  ['model=m', 'it is no JSON object'],
  ['{}', 'it has no "model"'],
  ['{"messages":[{"model":"m"}]}', 'it has no "model"'],
  ['{"model":"cheap","model":"dear"}', TWICE],
  ['{"model":"cheap","x":{},"model":"cheap"}', TWICE],
  ['{"Model":"dear"}', 'it has "model" in another case'],
  ['{"model":"cheap","MODEL":"dear"}', TWICE],
  ['{"model":"cheap","mod\\u0065l":"dear"}', ESCAPES],
  ['{"model":"cheap","model\\u0000":"dear"}', ESCAPES],
  ['{"model":"cheap","modèl":"dear"}', ESCAPES],
  ['{"model":null}', '"model" is not a string'],
  ['{"model":["m"]}', '"model" is not a string'],
  ['{"model":{"model":"m"}}', '"model" is not a string'],
  ['{"model":7}', '"model" is not a string'],
  ['{"model":""}', NO_NAME],
  [`{"model":"${'m'.repeat(257)}"}`, NO_NAME],
  ['{"model":"cheap\\u0000dear"}', NO_NAME],
  ['{"model":"cheap\\ndear"}', NO_NAME],
  ['{"model":"\\ud800"}', NO_NAME],
  [`{"model":"${'m'.repeat(3_000)}"}`, 'a name in it is too long'],
  [`{"${'m'.repeat(3_000)}":1}`, 'a name in it is too long'],
  [`{"x":${'1'.repeat(3_000)}}`, 'a number in it is too long'],
  [`{"x":${'['.repeat(512)}`, 'it is nested more than 512 levels deep'],
  [Buffer.from('{"x":"\xc0","model":"dear","y":""}', 'latin1'), 'it is not UTF-8'],
  [Buffer.from('{"model":"m\xff"}', 'latin1'), 'it is not UTF-8'],
  ...[
    '{"model":"m"',
    '{"model":"m"}}',
    '{"model":"m"}{"model":"n"}',
    '{"model":"m"} x',
    '{"model":"m",}',
    '{,"model":"m"}',
    '{"model" "m"}',
    '{"model":"m" "x":1}',
    '{model:"m"}',
    "{'model':'m'}",
    '{"model":"m"]',
    '{"model":"m","x":[1,]}',
    '{"model":"m","x":[1}',
    '{"model":"m","x":01}',
    '{"model":"m","x":1.}',
    '{"model":"m","x":+1}',
    '{"model":"m","x":NaN}',
    '{"model":"m","x":nul}',
    '{"model":"m","x":truefalse}',
    '{"model":"m","x":"\n"}',
    '{"model":"m","x":"\\x41"}',
    '{"model":"m","x":"\\u00g0"}',
    '{"model":"m"/**/}',
    '{"model":"m"}\0',
    '{"model":"m","x":}',
    '{"x":"\\',
    '{"x":tru',
    '{"x":"',
  ].map(text => [text, JSON_ERROR] as const),
]

function scan(bytes: Buffer, step: number): SaidModel {
  const scanner = createModelScanner()
  const padded = Buffer.concat([Buffer.from('{"'), bytes, Buffer.from('"}')])
  for (let at = 2; at < padded.length - 2; at += step) scanner.push(padded, at, Math.min(at + step, padded.length - 2))
  return scanner.end()
}

for (const [body, said] of [...NAMED, ...UNREADABLE.map(([body, why]) => [body, { unreadable: why }] as const)]) {
  const bytes = Buffer.from(body as string)
  const shown = JSON.stringify(bytes.toString('latin1').slice(0, 60))
  test(`${shown} says ${JSON.stringify(said).slice(0, 60)}`, () => {
    for (const step of [Number.MAX_SAFE_INTEGER, 1, 2, 3, 7]) assert.deepEqual(scan(bytes, step), said, `step ${step}`)
  })
}
