/**
 * Where the engines of a whole test run keep their images, one engine after the other: the machine's own image, of
 * hundreds of megabytes, is imported once a run and not once a file. The test runner calls both functions
 * (`--test-global-setup`); a file that is run without it has a directory of its own.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { EngineKind } from './engine.ts'

export function globalSetup(): void {
  process.env.CLRK_TEST_ENGINE_DATA = create()
}

export function globalTeardown(): void {
  rmSync(process.env.CLRK_TEST_ENGINE_DATA ?? '', { recursive: true, force: true })
}

/** For one engine of that kind at a time. */
export function engineData(kind: EngineKind): string {
  process.env.CLRK_TEST_ENGINE_DATA ??= ofThisFile()
  const path = join(process.env.CLRK_TEST_ENGINE_DATA, kind)
  mkdirSync(path, { recursive: true })
  return path
}

function ofThisFile(): string {
  const path = create()
  after(() => rmSync(path, { recursive: true }))
  return path
}

function create(): string {
  return mkdtempSync(join(tmpdir(), 'engine-data-'))
}
