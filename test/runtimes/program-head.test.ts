/** The first bytes of a program are read the same however hostile they are: cut anywhere, changed anywhere, no throw. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { readProgramHead } from '../../src/runtimes/program-head.ts'

const TRUE = readFileSync('/bin/true').subarray(0, 4_096)

test('a dynamic program names its linker, a static one none, a script its interpreter', () => {
  const dynamic = readProgramHead(TRUE)
  assert.ok(dynamic.kind === 'elf')
  assert.equal(dynamic.machine, process.arch)
  assert.match(dynamic.interpreter ?? '', /^\/lib\S*\/ld-linux/)
  const fixed = readProgramHead(readFileSync('/bin/busybox').subarray(0, 4_096))
  assert.deepEqual(fixed, { kind: 'elf', machine: process.arch, interpreter: null })
  const script = readProgramHead(Buffer.from('#! /usr/bin/env  node\nrest'))
  assert.deepEqual(script, { kind: 'script', words: ['/usr/bin/env', 'node'] })
  assert.deepEqual(readProgramHead(Buffer.from('echo\n')), { kind: 'other' })
})

test('cut at every byte, and every byte of the headers changed', () => {
  for (let length = 0; length < TRUE.length; length += 1) readProgramHead(TRUE.subarray(0, length))
  for (let at = 0; at < 1_024; at += 1) {
    for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
      const bytes = Buffer.from(TRUE)
      bytes[at] = value
      readProgramHead(bytes)
    }
  }
})
