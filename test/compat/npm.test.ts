/** npm against a real registry (Verdaccio), at its default address and with no setting at all. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { stringify } from 'yaml'
import { clrkRun, makeWorkspace } from '../world/clrk.ts'
import { createWorld, type World } from '../world/world.ts'
import { LARGE_BYTES, SMALL } from './npm-packages.ts'
import { callerEnvironment, PACKAGES, portOf } from './tools.ts'

test('npm install: forty packages at once, and one of 20 MB', async t => {
  const world = await createWorld(t)
  await startRegistry(world)
  const workspace = makeWorkspace(world)
  const options = { allow: ['registry.npmjs.org'], workspace, cwd: workspace, env: callerEnvironment(world) }
  const script =
    'npm install --no-audit --no-fund @acme/everything && wc -c <node_modules/large/data && npm ls --all -p'
  const { code, stdout, stderr } = await clrkRun(world, ['sh', '-ec', script], options)
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  assert.match(stdout, /^added 42 packages/m)
  assert.equal(stdout.match(/node_modules\/small-\d+$/gm)?.length, SMALL.length)
  assert.match(stdout, new RegExp(`^${LARGE_BYTES}$`, 'm'))
  assert.deepEqual(await world.arrivals(), [])
})

async function startRegistry(world: World): Promise<void> {
  const directory = join(world.directory, 'verdaccio')
  mkdirSync(directory)
  const file = join(directory, 'config.yaml')
  const config = {
    storage: join(directory, 'storage'),
    auth: { htpasswd: { file: join(directory, 'htpasswd') } },
    packages: { '**': { access: '$all', publish: '$all' } },
    max_body_size: '100mb',
    log: { type: 'stdout', level: 'warn' },
  }
  writeFileSync(file, stringify(config))
  const port = portOf('registry.npmjs.org')
  const program = [process.execPath, join(PACKAGES, 'verdaccio/bin/verdaccio'), '--config', file]
  const env = { PATH: process.env.PATH ?? '', HOME: directory, VERDACCIO_PUBLIC_URL: 'https://registry.npmjs.org' }
  const server = world.spawnInternet([...program, '--listen', `http://0.0.0.0:${port}`], { env })
  await server.saw(/http address/)
  const publishing = join(import.meta.dirname, 'npm-packages.ts')
  const published = await world.spawnInternet([process.execPath, publishing, `http://127.0.0.1:${port}`]).exited
  assert.equal(published.code, 0, published.stderr)
}
