/** The main job in an image: the same path, trust and denials, and nothing left of it after its worker was killed. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRecord, clrkRun, clrkStatus, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { busybox, type Engine, type ImageFile, importImage, startEngine } from '../world/engine.ts'
import { eventually } from '../world/eventually.ts'
import { mainJob } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld, type World } from '../world/world.ts'

testWithEngine(
  'an agent in an image gets its 200 with the credential that it does not have',
  async ({ world, options }) => {
    const run = { ...options, manifests: mainJob(world.key) }
    const { code, stdout, stderr, record } = await clrkRecord(world, ['node', '-e', FETCH], run)
    assert.equal(code, 0, stderr)
    assert.deepEqual(JSON.parse(stdout), { status: 200, key: 'clrk-injected-by-proxy', denied: 403 })
    const { runtime, injected, denied } = record
    assert.deepEqual({ runtime, injected, denied }, { runtime: 'docker', injected: 1, denied: 1 })
    const [request, ...more] = await world.requests()
    assert.ok(request !== undefined && more.length === 0)
    assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
    assert.deepEqual(await world.arrivals(), [])
  },
)

testWithEngine('exit codes, streams and a missing image', async ({ world, options }) => {
  assert.equal((await clrkRun(world, ['sh', '-c', 'exit 7'], options)).code, 7)
  const { code, stderr } = await clrkRun(world, ['true'], { ...options, arguments: ['--image', 'nowhere:1'] })
  assert.notEqual(code, 0)
  assert.match(stderr, /^clrk: .*nowhere:1.*\n$/)
})

testWithEngine(
  'kill -9 of the worker: the next start removes its containers, and each run has a record',
  async setting => {
    const { world, options, docker } = setting
    await startWorker(world, [], { env: options.env })
    const agent = spawnClrkRun(world, ['sh', '-c', 'echo up; sleep 600'], options)
    const all = () => docker.listContainers({ all: true })
    await eventually(async () => ((await all()).filter(({ State }) => State === 'running').length === 2 ? true : null))
    const { pid } = await clrkStatus(world)
    await world.host(['kill', '-KILL', `${pid}`])
    assert.notEqual((await agent.exited).code, 0)

    assert.equal((await clrkRun(world, ['true'], options)).code, 0)
    await eventually(async () => ((await all()).length === 0 ? true : null))
    const records = readFileSync(join(stateOf(world), 'runs.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
    assert.deepEqual(
      records.map(line => JSON.parse(line).exit.signal),
      ['SIGKILL', null],
    )
  },
)

type Setting = {
  readonly world: World
  readonly docker: Engine['docker']
  readonly options: { readonly arguments: readonly string[]; readonly env: Readonly<Record<string, string>> }
}

/** On a world whose host has a private engine with one image: busybox and Node. */
function testWithEngine(name: string, body: (setting: Setting) => Promise<void>): void {
  test(name, async t => {
    const world = await createWorld(t)
    const engine = await startEngine(argv => {
      const running = world.spawnHost(argv)
      return { kill: signal => running.kill(signal), exited: running.exited }
    })
    try {
      const bundle = readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8')
      await importImage(engine, 'agent:1', {
        ...busybox(),
        ...nodeFiles(),
        'etc/ssl/certs/ca-certificates.crt': bundle,
      })
      const env = { PATH: process.env.PATH ?? '', HOME: world.directory, DOCKER_HOST: `unix://${engine.socket}` }
      await body({ world, docker: engine.docker, options: { arguments: ['--image', 'agent:1'], env } })
    } finally {
      await engine.stop() // before its world ends, which takes it along
    }
  })
}

/** Node with the libraries that it is linked with. */
function nodeFiles(): Record<string, ImageFile> {
  const linked = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+(?= \(0x)/g) ?? []
  const files = linked
    .filter(path => existsSync(path))
    .map((path): [string, ImageFile] => [path.slice(1), { bytes: readFileSync(path), mode: 0o755 }])
  return { 'bin/node': { bytes: readFileSync(process.execPath), mode: 0o755 }, ...Object.fromEntries(files) }
}

const FETCH = `
const ask = async (url, init) => (await fetch(url, init)).status
const status = await ask('https://api.anthropic.com/v1/messages', {
  method: 'POST',
  headers: { 'content-type': 'application/json', 'x-api-key': process.env.ANTHROPIC_API_KEY },
  body: JSON.stringify({ model: 'claude-haiku-4-5', max_tokens: 1, messages: [] }),
})
const denied = await ask('https://other.example.com/')
console.log(JSON.stringify({ status, key: process.env.ANTHROPIC_API_KEY, denied }))
`
