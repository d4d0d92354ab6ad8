/** Runs probes in a sandbox: Python on top of prelude.py, many in one run, each with its outcome in words. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ClrkRun, clrkRun } from '../world/clrk.ts'
import type { World } from '../world/world.ts'

export type Outcomes = Readonly<Record<string, string>>

/** Who the probes run as inside. */
export const USERS = ['0', '1000'] as const

/** `script` calls `attempt(name, action, …)`; the outcomes by name. Fails the test when the script itself fails. */
export async function runProbes(world: World, script: string, options: ClrkRun = {}): Promise<Outcomes> {
  const { code, stdout, stderr } = await clrkRun(world, ['python3', '-c', `${PRELUDE}\n${script}\nreport()`], {
    timeoutMs: 120_000,
    ...options,
  })
  assert.equal(code, 0, `the probes ended with ${code}:\n${stdout}\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Outcomes
}

/** Every outcome matches `pattern`; names those that do not. */
export function assertOutcomes(outcomes: Outcomes, pattern: RegExp, names = Object.keys(outcomes)): void {
  assert.ok(names.length > 0)
  const wrong = names.filter(name => !pattern.test(outcomes[name] ?? 'not attempted'))
  assert.deepEqual(Object.fromEntries(wrong.map(name => [name, outcomes[name]])), {})
}

const PRELUDE = readFileSync(join(import.meta.dirname, 'prelude.py'), 'utf8')
