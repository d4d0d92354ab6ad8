/**
 * Any bytes: no throw, the same verdict however they are cut, and, against JSON.parse: what is named is the one member of
 * that name, and every plain object with one good `model` is read.
 */
import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { createModelScanner, type SaidModel } from '../../src/providers/body-model.ts'

export const target = {
  name: 'body-model',
  seeds: [
    '{"model":"gpt-4o","messages":[{"role":"user","content":"hi \\"there\\" \\u00e9"}],"stream":true}',
    '{ "x": [1, -2.5e+3, null, false, {}], "model" : "a\\/b" }',
    '{"model":"a","model":"b"}',
    '{"Model":"a","mod\\u0065l":"b"}',
    '{"a":{"model":"x"},"model":null}',
    '{"model":"m"} ',
    '[[{"model":"m"}]]',
  ].map(text => Buffer.from(text)) as readonly Buffer[],
  maximumBytes: 512,
  run(bytes: Buffer): void {
    const said = scan(bytes, bytes.length || 1)
    assert.equal(verdict(scan(bytes, 1)), verdict(said))
    const value = isUtf8(bytes) ? parsed(bytes.toString('utf8')) : undefined
    if (typeof said === 'string') assert.equal((value as { model?: unknown }).model, said)
    else if (isPlain(value, bytes)) assert.fail(`${said.unreadable}: ${JSON.stringify(bytes.toString('latin1'))}`)
  },
}

/** Which of two reasons to refuse it comes first may depend on the cut. */
function verdict(said: SaidModel): string | null {
  return typeof said === 'string' ? said : null
}

function scan(bytes: Buffer, step: number): SaidModel {
  const scanner = createModelScanner()
  for (let at = 0; at < bytes.length; at += step) scanner.push(bytes, at, Math.min(at + step, bytes.length))
  return scanner.end()
}

/** Undefined where it is no JSON. A byte order mark is no JSON, whatever JSON.parse's callers take off before. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** An object with ASCII names without escapes, `model` among them once and good: there is no reason to refuse it. */
function isPlain(value: unknown, bytes: Buffer): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const { model } = value as { model?: unknown }
  const text = bytes.toString('latin1')
  return (
    typeof model === 'string' &&
    /^[\x20-\x7e]{1,256}$/.test(model) &&
    Object.keys(value).every(name => /^[\x20-\x7e]*$/.test(name)) &&
    text.match(/model/gi)?.length === 1 &&
    !text.includes('\\')
  )
}
