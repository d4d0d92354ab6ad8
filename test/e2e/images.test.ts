/** What only images have: one that is nowhere, one without a shell, and nothing left after their worker was killed. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CLRK, clrkRecord, clrkRun, clrkStatus, REPOSITORY, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { type Engine, importImage } from '../world/engine.ts'
import { eventually } from '../world/eventually.ts'
import { writeManifests } from '../world/manifests.ts'
import { REPOSITORY as IMAGE } from '../world/registry.ts'
import { ALL_PLACES, testEverywhere } from '../world/runtimes.ts'
import type { World } from '../world/world.ts'

const places = ALL_PLACES.filter(place => place !== 'local')

testEverywhere('an image that is nowhere is one line that names it', { places }, async world => {
  for (const image of ['nowhere:1', 'localhost/nowhere:1']) {
    const { code, stderr } = await clrkRun({ ...world, image }, ['true'])
    assert.notEqual(code, 0)
    assert.match(stderr, new RegExp(`^clrk: the image cannot be had: ${image}: .*(no such host|refused).*\\n$`))
  }
})

testEverywhere('an image of a registry is pulled with the login of this machine, and once', { places }, async world => {
  const [user, other] = ['agent-team:canary-of-the-registry', 'agent-team:wrong-canary']
  const registry = world.spawnHost([process.execPath, join(import.meta.dirname, '../world/registry.ts'), '5000', user])
  await registry.saw(/ready/)
  const image = `127.0.0.1:5000/${IMAGE}:1`
  const home = join(world.directory, 'docker-config')
  const env = { PATH: process.env.PATH ?? '', HOME: world.directory, DOCKER_CONFIG: home }
  const login = (as: string) => {
    const auths = { '127.0.0.1:5000': { auth: Buffer.from(as).toString('base64') } }
    writeFileSync(join(home, 'config.json'), JSON.stringify({ auths }))
  }
  mkdirSync(home)
  const run = () => clrkRun({ ...world, image }, ['echo', 'from', 'the', 'registry'], { env })

  login(other)
  const refused = await run()
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /^clrk: the image cannot be had: 127\.0\.0\.1:5000\/team\/agent:1: /m)
  assert.doesNotMatch(refused.stderr, /canary/)

  login(user)
  const pulled = await run()
  assert.deepEqual([pulled.code, pulled.stdout], [0, 'from the registry\n'], pulled.stderr)
  assert.match(pulled.stderr, /pull/i) // what is going on meanwhile
  const asked = registry.written().stdout.length
  assert.equal((await run()).stdout, 'from the registry\n')
  assert.equal(registry.written().stdout.length, asked)
  registry.kill('SIGKILL')
})

testEverywhere(
  'auto is docker with an image and local without; what a runtime cannot boot is refused',
  { places },
  async world => {
    const machine = { ...world, image: null }
    for (const [where, options] of [
      [world, []],
      [world, ['--runtime', 'docker']],
      [machine, ['--runtime', 'auto']],
    ] as const) {
      const { record } = await clrkRecord(where, ['true'], { arguments: options })
      assert.equal(record.runtime, where.image === null ? 'local' : 'docker')
    }
    const withoutImage = await clrkRun(machine, ['true'], { arguments: ['--runtime', 'docker'] })
    assert.match(withoutImage.stderr, /^clrk: .*docker needs an image.*--image.*\n$/)
    const onLocal = await clrkRun(world, ['true'], { arguments: ['--runtime', 'local'] })
    assert.match(onLocal.stderr, /^clrk: .*local runs programs of this machine.*--runtime docker.*\n$/)
  },
)

testEverywhere('an image without a shell runs its program, and says which one it has not', { places }, async world => {
  const built = await world.host(['gcc', '-static', '-o', '/run/probe', join(REPOSITORY, 'test/redteam/sockets.c')])
  assert.equal(built.code, 0, built.stderr)
  const bytes = readFileSync(`/proc/${world.machine.init}/root/run/probe`)
  await importImage(engineOf(world), 'localhost/bare:latest', { probe: { bytes, mode: 0o755 } })
  const bare = { ...world, image: 'localhost/bare:latest' }
  const ran = await clrkRun(bare, ['/probe'])
  assert.match(ran.stdout, /^tcp made$/m, ran.stderr)
  const { code, stderr } = await clrkRun(bare, ['sh', '-c', 'true'])
  assert.deepEqual([code, stderr], [127, 'clrk: cannot run sh: No such file or directory\n'])
})

testEverywhere('an image is read-only where a run or a template says so', { places }, async world => {
  const script = 'for file in /tmp/a /var/tmp/a /root/a; do touch $file 2>/dev/null && echo wrote $file; done; true'
  const writable = 'wrote /tmp/a\nwrote /var/tmp/a\n'
  const options = { user: '0' } as const
  assert.equal((await clrkRun(world, ['sh', '-c', script], options)).stdout, `${writable}wrote /root/a\n`)
  const sealed = await clrkRun(world, ['sh', '-c', script], { ...options, arguments: ['--read-only'] })
  assert.equal(sealed.stdout, writable, sealed.stderr)

  const spec = { image: world.image, user: 0, readOnlyRootFilesystem: true, command: ['sh', '-c', script] }
  const agent = { apiVersion: 'clrk.apoxy.dev/v1alpha1', kind: 'TaskAgent', metadata: { name: 'sealed' } }
  const file = writeManifests(world, [{ ...agent, spec: { template: { spec } } }], 'sealed.yaml')
  const { stdout, stderr } = await world.host([...CLRK, 'dev', '-f', file, '--state', stateOf(world, 'dev'), '--once'])
  assert.match(stdout, /sealed.* wrote \/var\/tmp\/a\n/, stderr)
  assert.doesNotMatch(stdout, /wrote \/root/)
})

testEverywhere('kill -9 of the worker: the next start removes its containers', { places }, async world => {
  await startWorker(world, [])
  const agent = spawnClrkRun(world, ['sh', '-c', 'echo up; sleep 600'])
  const all = () => engineOf(world).docker.listContainers({ all: true })
  await eventually(async () => ((await all()).filter(({ State }) => State === 'running').length === 2 ? true : null))
  const { pid } = await clrkStatus(world)
  await world.host(['kill', '-KILL', `${pid}`])
  assert.notEqual((await agent.exited).code, 0)

  assert.equal((await clrkRun(world, ['true'])).code, 0)
  await eventually(async () => ((await all()).length === 0 ? true : null))
  const records = readFileSync(join(stateOf(world), 'runs.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  const signals = records.map((line): string | null => JSON.parse(line).exit.signal)
  assert.deepEqual(signals, ['SIGKILL', null]) // each run has a record
})

function engineOf({ engine }: World): Engine {
  return engine ?? assert.fail('a world without an engine')
}
