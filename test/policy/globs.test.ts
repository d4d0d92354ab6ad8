import assert from 'node:assert/strict'
import { test } from 'node:test'
import { escapeGlob, globProblem, matchesGlob } from '../../src/resources/glob.ts'

test('globs match as path.Match of Go does', () => {
  for (const [glob, text, matches] of [
    ['/v1/messages', '/v1/messages', true],
    ['/v1/messages', '/v1/messages/', false],
    ['/v1/*', '/v1/messages', true],
    ['/v1/*', '/v1/', true],
    ['/v1/*', '/v1/a/b', false],
    ['/*/x', '/a/b/x', false],
    ['*a*b', 'xaab', true],
    ['*a/a*b', 'a/a/ab', false],
    ['*a/a*b', 'xa/axb', true],
    ['claude-*-4?', 'claude-opus-45', true],
    ['claude-?', 'claude-', false],
    ['a?c', 'a/c', false],
    ['[a-c]x', 'bx', true],
    ['[^a-c]x', 'bx', false],
    ['[^a-c]x', '/x', false],
    ['[\\]]', ']', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['**', 'anything', true],
  ] as const) {
    assert.equal(globProblem(glob), null)
    assert.equal(matchesGlob(glob, text), matches, `${glob} on ${text}`)
    assert.ok(matchesGlob(escapeGlob(text), text))
  }
})

test('a malformed glob has a reason', () => {
  for (const glob of ['', '[', '[]', '[a', '[b-a]', '[-a]', '[a-]', 'a\\', '[^]', 'a'.repeat(513)]) {
    assert.notEqual(globProblem(glob), null, glob)
  }
})

test('matching needs at most one step a pair of characters (T107)', () => {
  // Backtracking over every * would need more steps here than the machine has years.
  assert.equal(matchesGlob(`${'*a'.repeat(200)}b`, 'a'.repeat(20_000)), false)
})
