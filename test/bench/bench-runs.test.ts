/** The benchmark starts, measures and agrees with itself: so that it does not rot. Its figures here mean nothing. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import test from 'node:test'
import type { Result } from '../../bench/results.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const RUN = [process.execPath, join(ROOT, 'bench/run.ts')]

test('a short run gives every metric with its unit, and leaves nothing behind', t => {
  const directory = mkdtempSync(join(tmpdir(), 'bench-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const json = join(directory, 'results.json')
  const options = ['--only', 'direct,nginx,clrk', '--metrics', 'h1_c1,fresh_name', '--rounds', '1', '--seconds', '0.1']
  const before = left()
  const { status, stdout, stderr } = run([...RUN, ...options, '--json', json])
  assert.equal(status, 0, stderr)
  assert.deepEqual(left(), before)

  const { machine, contenders, results } = JSON.parse(readFileSync(json, 'utf8'))
  assert.ok(machine.processors > 0)
  assert.deepEqual(Object.keys(contenders), ['direct', 'nginx', 'clrk'])
  const own = (results as readonly Result[]).filter(({ contender }) => contender === 'clrk')
  assert.deepEqual(
    own.map(({ metric, unit, rounds }) => [metric, unit, rounds]),
    [
      ['requests_per_second_h1_c1', '1/s', 1],
      ['cpu_seconds_per_1000_requests_h1_c1', 's', 1],
      ['latency_p50_us_c1', 'µs', 1],
      ['latency_p99_us_c1', 'µs', 1],
      ['new_connections_per_second_fresh_name', '1/s', 1],
      ['cpu_seconds_per_1000_connections_fresh_name', 's', 1],
    ],
  )
  for (const { metric, median, min, max } of own) assert.ok(0 < min && min <= median && median <= max, metric)
  assert.match(stdout, /^\| CPU a connection, minted leaf, × HAProxy minting .* not measured/m)
})

test('a contender that is not installed is named, with what to do', () => {
  const hide = 'mount -t tmpfs tmpfs "$1" && shift && exec "$@"'
  const argv = ['unshare', '--mount', 'sh', '-c', hide, 'sh', join(ROOT, 'node_modules/.cache'), ...RUN]
  const { status, stderr } = run([...argv, '--only', 'goproxy,mitmproxy'])
  const cache = join(ROOT, 'node_modules/.cache/clrk-bench')
  const missing = `${cache}/goproxy, ${cache}/mitmproxy/bin/mitmdump`
  assert.deepEqual([status, stderr], [1, `bench: missing: ${missing}; run: sh src/setup.sh bench\n`])
})

test('an argument that makes no sense is one line', () => {
  const { status, stderr } = run([...RUN, '--only', 'apache'])
  const known = 'direct, splice, nginx, haproxy, goproxy, squid, mitmproxy, clrk'
  assert.deepEqual([status, stderr], [1, `bench: --only apache: it is one of ${known}\n`])
})

function run([program = '', ...argv]: readonly string[]) {
  return spawnSync(program, argv, { encoding: 'utf8', timeout: 120_000 })
}

/** Directories of a run that was not taken down. */
function left(): readonly string[] {
  return readdirSync(tmpdir()).filter(name => name.startsWith('clrk-bench-'))
}
