/** What `npm pack` makes, installed in an empty directory elsewhere, is the whole of clrk. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { REPOSITORY, stateOf } from '../world/clrk.ts'
import { createWorld } from '../world/world.ts'

test('the packed package runs where there is no clone', async t => {
  const world = await createWorld(t)
  const elsewhere = join(world.directory, 'elsewhere')
  mkdirSync(elsewhere)
  const npm = (cwd: string, ...argv: string[]) =>
    execFileSync('npm', argv, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  npm(REPOSITORY, 'pack', '--silent', '--pack-destination', world.directory)
  const tarball = readdirSync(world.directory).find(name => name.endsWith('.tgz')) ?? ''
  npm(elsewhere, 'init', '-y')
  npm(
    elsewhere,
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    join(world.directory, tarball),
  )

  const npx = (...argv: string[]) => world.host(['npx', 'clrk', ...argv], { cwd: elsewhere, timeoutMs: 120_000 })
  const { version } = JSON.parse(execFileSync('cat', [join(REPOSITORY, 'package.json')], { encoding: 'utf8' }))
  assert.match((await npx('--version')).stdout, new RegExp(`\\b${version.replaceAll('.', '\\.')}\\b`))

  const example = join(elsewhere, 'node_modules/clrk/examples/echo-bot')
  const dev = await npx('dev', example, '--mock-provider', '--once', '--state', stateOf(world))
  assert.equal(dev.code, 0, `${dev.stdout}\n${dev.stderr}`)
  assert.match(dev.stdout, /tokens/)
  assert.deepEqual(await world.arrivals(), [])

  // The compiled code starts shards and workers by path: none of them may be a .ts below node_modules.
  const packed = readdirSync(join(dirname(example), '..'), { recursive: true, encoding: 'utf8' })
  assert.deepEqual(
    packed.filter(path => /^src\/.*\.ts$/.test(path)),
    [],
  )
})
