/** A shard, under its own uid and without the right to write, starts from compiled code. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { CODE_CACHE, shardCodeCache } from '../../src/worker/code-cache.ts'
import { FLAGS, shardArgv, shardFiles } from '../../src/worker/shard-spec.ts'

test('every file of a shard is found there, and taken by V8', t => {
  const place = cachePlace(t)
  const [program = '', ...args] = shardArgv(shardFiles(), 1_234_567)
  const env = { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: CODE_CACHE, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }
  const { status, stderr } = spawnSync(program, args, { env, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const taken = [...stderr.matchAll(/retrieving transpile cache for StrippedTypeScript (\S+)\.\.\.(\S+)/g)]
  assert.ok(taken.length > 50, stderr.slice(0, 2_000))
  assert.deepEqual(
    taken.filter(([, , result]) => result !== 'success').map(([, file]) => file),
    [],
  )
  assert.doesNotMatch(stderr, /V8 code cache for ESM \S+ was rejected/)
  assert.ok(readdirSync(join(place, 'shard')).every(name => statSync(join(place, 'shard', name)).uid === 0))
})

test('it is made once for each version of the code', t => {
  cachePlace(t)
  const code = mkdtempSync(join(tmpdir(), 'code-cache-'))
  t.after(() => rmSync(code, { recursive: true }))
  const ran = join(code, 'ran')
  const warm = join(code, 'warm.ts')
  writeFileSync(
    warm,
    `import { appendFileSync } from 'node:fs'\nappendFileSync(${JSON.stringify(ran)} as string, '.')\n`,
  )
  const make = () => {
    assert.notEqual(shardCodeCache(process.execPath, FLAGS, code, warm), null)
    return statSync(ran).size
  }
  assert.deepEqual([make(), make()], [1, 1])
  utimesSync(warm, new Date(), new Date(Date.now() + 5_000))
  assert.deepEqual([make(), make()], [2, 2])
})

function cachePlace(t: { after: (fn: () => void) => void }): string {
  const place = mkdtempSync(join(tmpdir(), 'code-cache-'))
  const before = process.env.NODE_COMPILE_CACHE
  process.env.NODE_COMPILE_CACHE = place
  t.after(() => {
    rmSync(place, { recursive: true })
    if (before === undefined) delete process.env.NODE_COMPILE_CACHE
    else process.env.NODE_COMPILE_CACHE = before
  })
  return place
}
