/** Every client of docs/clients.md in a sandbox of this machine and in an image, with no option of ours in its command. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { type ClrkRun, clrkRun, startWorker } from '../world/clrk.ts'
import { startEngine } from '../world/engine.ts'
import { createWorld, type World } from '../world/world.ts'
import { CLIENTS, type Client, commandOf, HOST, pathOf } from './clients.ts'
import { importDebian } from './debian-image.ts'
import { callerEnvironment } from './tools.ts'

test('in a local sandbox', async t => {
  const world = await createWorld(t)
  await startWorker(world, [])
  await eachClient(t, world, CLIENTS, ['0', '1000'], { env: callerEnvironment(world) })
})

test('in an image', async t => {
  const world = await createWorld(t)
  const engine = await startEngine(argv => {
    const running = world.spawnHost(argv)
    return { kill: signal => running.kill(signal), exited: running.exited }
  })
  try {
    await importDebian(world, engine, 'debian:clients')
    const env = { ...callerEnvironment(world), DOCKER_HOST: `unix://${engine.socket}` }
    await startWorker(world, [], { env })
    const inImage = CLIENTS.filter(({ image = true }) => image)
    await eachClient(t, world, inImage, ['1000'], { env, arguments: ['--image', 'debian:clients'] })
  } finally {
    await engine.stop() // before its world ends, which takes it along
  }
})

/** Runs them one after the other in one sandbox for each user. */
async function eachClient(
  t: TestContext,
  world: World,
  clients: readonly Client[],
  users: readonly ('0' | '1000')[],
  options: ClrkRun,
): Promise<void> {
  const input = JSON.stringify(clients.map(client => ({ argv: commandOf(client), env: client.env })))
  for (const user of users) {
    const earlier = (await world.requests()).length
    const more = { allow: [HOST], user, input, timeoutMs: 200_000 }
    const { code, stdout, stderr } = await clrkRun(world, [process.execPath, '-e', RUN_ALL], { ...options, ...more })
    assert.equal(code, 0, stderr)
    const outputs = JSON.parse(stdout) as readonly string[]
    const arrived = (await world.requests()).slice(earlier).map(({ target }) => target)
    for (const [at, client] of clients.entries()) {
      await t.test(`${client.name}, user ${user}`, () => {
        const here = arrived.some(target => target.startsWith(pathOf(client)))
        assert.equal(here, client.trusts.length > 0, outputs[at])
      })
    }
  }
  assert.deepEqual(await world.arrivals(), [])
}

/** Each in an empty directory of its own, which is its home too. Prints what they wrote. */
const RUN_ALL = `
const { spawnSync } = require('node:child_process')
const { mkdtempSync, readFileSync } = require('node:fs')
const all = JSON.parse(readFileSync(0, 'utf8'))
const outputs = all.map(({ argv: [program, ...argv], env }) => {
  const cwd = mkdtempSync('/tmp/client-')
  const ran = spawnSync(program, argv, { cwd, env: { ...process.env, HOME: cwd, ...env }, timeout: 30000, encoding: 'utf8' })
  return [ran.stdout, ran.stderr, ran.error].join("\\n")
})
console.log(JSON.stringify(outputs))
`
