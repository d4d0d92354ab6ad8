/** The pages that list codes, limits and threats list exactly what the code has and what the tests hold. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { describe, ERROR_CODES } from '../src/errors.ts'
import { LIMITS } from '../src/limits.ts'

test('docs/errors.md lists every code with its status, and no other', () => {
  const documented = rows('errors.md').map(([code = '', status]) => `${unquoted(code)} ${status}`)
  const known = ERROR_CODES.map(code => `${code} ${describe({ code, details: {} }).status}`)
  assert.deepEqual(documented.toSorted(), known.toSorted())
})

test('docs/limits.md lists every limit with its value, and no other', () => {
  const documented = rows('limits.md').map(([name = '', value]) => `${unquoted(name)} ${value}`)
  const known = Object.entries(LIMITS).map(([name, value]) => `${name} ${value}`)
  assert.deepEqual(documented.toSorted(), known.toSorted())
})

test('codes that docs/limits.md speaks of exist', () => {
  const codes = page('limits.md').match(/CLRK_[A-Z_]+/g) ?? []
  assert.deepEqual(
    codes.filter(code => !ERROR_CODES.some(known => known === code)),
    [],
  )
})

test('every row says something in every column', () => {
  for (const name of ['errors.md', 'limits.md', 'threat-model.md']) {
    for (const row of rows(name))
      assert.ok(
        row.every(cell => cell !== ''),
        `${name}: ${row.join(' | ')}`,
      )
  }
})

test('docs/threat-model.md has each threat once, in order, and its tests exist', () => {
  const ids = rows('threat-model.md').map(([id]) => id)
  assert.deepEqual(
    ids,
    Array.from({ length: 134 }, (_, at) => `T${String(at + 1).padStart(2, '0')}`),
  )
  const paths = page('threat-model.md').match(/`[a-z][\w/-]*\.test\.ts`/gi) ?? []
  assert.ok(paths.length > 0)
  assert.deepEqual(
    paths.map(unquoted).filter(path => !existsSync(join(TESTS, path))),
    [],
  )
})

test('every red-team test is in docs/threat-model.md', () => {
  const text = page('threat-model.md')
  const files = readdirSync(join(TESTS, 'redteam')).filter(name => name.endsWith('.test.ts'))
  assert.deepEqual(
    files.filter(name => !text.includes(`\`redteam/${name}\``)),
    [],
  )
})

/** The cells of every table row of a page, headings and rules left out. */
function rows(name: string): readonly (readonly string[])[] {
  return page(name)
    .split('\n')
    .filter(line => /^\| *(`|T\d)/.test(line))
    .map(line =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map(cell => cell.trim()),
    )
}

function page(name: string): string {
  return readFileSync(join(import.meta.dirname, '../docs', name), 'utf8')
}

function unquoted(text: string): string {
  return text.replaceAll('`', '')
}

const TESTS = import.meta.dirname
