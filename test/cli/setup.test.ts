import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'

const SETUP = new URL('../../src/setup.sh', import.meta.url).pathname

/** A clone below a path with a space, whose npm and apt-get only write down how they were called. */
function clone(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'clrk setup '))
  t.after(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'src'))
  mkdirSync(join(root, 'bin'))
  copyFileSync(SETUP, join(root, 'src/setup.sh'))
  writeFileSync(join(root, 'package-lock.json'), '{}')
  const tool = (name: string, script: string) => {
    writeFileSync(join(root, 'bin', name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(root, 'bin', name), 0o755)
  }
  tool('npm', 'echo "npm $*" >>"$LOG"; rm -rf node_modules; mkdir node_modules')
  tool('apt-get', 'echo "apt-get $*" >>"$LOG"')
  const log = join(root, 'log')
  /** Runs setup.sh; `hidden` is a program that the machine seems not to have. */
  const run = (mode: string, hidden?: string) => {
    rmSync(log, { force: true })
    const command = hidden === undefined ? 'exec sh "$0" "$@"' : `mount --bind /dev/null ${hidden} && exec sh "$0" "$@"`
    const argv = ['--mount', '--propagation', 'private', 'sh', '-c', command, join(root, 'src/setup.sh'), mode]
    const env = { PATH: `${root}/bin:${process.env.PATH}`, LOG: log }
    const child = spawnSync('unshare', argv, { encoding: 'utf8', env })
    return { ...child, calls: existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [] }
  }
  return { root, run, tool }
}

test('it installs node_modules once, and again only for another lock file or a wider mode', t => {
  const { root, run } = clone(t)
  const npm = (dependencies: string) => [
    `npm ci --ignore-scripts ${dependencies} --no-audit --no-fund --loglevel=error`,
  ]
  assert.deepEqual(run('run').calls, npm('--omit=dev'))
  const second = run('run')
  assert.deepEqual([second.status, second.calls, second.stdout], [0, [], ''])
  assert.deepEqual(run('pack').calls, npm('--include=dev'))
  assert.deepEqual(run('run').calls, [])
  writeFileSync(join(root, 'package-lock.json'), '{"changed":1}')
  assert.deepEqual(run('run').calls, npm('--omit=dev'))
  rmSync(join(root, 'node_modules/.clrk-setup'))
  assert.deepEqual(run('run').calls, npm('--omit=dev'))
})

test('an install that failed is done again', t => {
  const { run, tool } = clone(t)
  tool('npm', 'mkdir -p node_modules; exit 7')
  assert.equal(run('run').status, 7)
  assert.equal(run('run').status, 7)
})

test('it installs exactly the packages that are missing', t => {
  const { run } = clone(t)
  const { status, calls, stdout } = run('run', '/usr/sbin/nft')
  assert.equal(status, 0)
  assert.match(stdout, /^setup: apt-get install nftables $/m)
  assert.match(calls[0] ?? '', /^apt-get .*update$/)
  assert.match(calls[1] ?? '', /^apt-get .*install -y --no-install-recommends nftables$/)
})

test('without root or without apt it says in one line what is missing', t => {
  const { run, tool } = clone(t)
  tool('id', 'echo 1000')
  const { status, stderr, calls } = run('run', '/usr/sbin/nft')
  assert.deepEqual(
    [status, stderr, calls],
    [1, 'setup: missing: nftables ; run as root: apt-get install nftables \n', []],
  )
})

test('an unknown mode is refused', t => {
  const { run } = clone(t)
  assert.equal(run('everything').status, 2)
})
