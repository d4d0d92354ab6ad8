/** git over HTTPS with a repository of 100 MB: cloned and pushed with a credential that the sandbox does not have. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace, REPOSITORY } from '../world/clrk.ts'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment, portOf } from './tools.ts'

test('git clones 100 MB and pushes 100 MB back', async t => {
  const world = await createWorld(t)
  const bare = join(world.directory, 'git/acme/large.git')
  mkdirSync(bare, { recursive: true })
  await run(MAKE_REPOSITORY, bare)
  const basic = `Basic ${Buffer.from(`x-access-token:${world.key}`).toString('base64')}`
  const script = join(REPOSITORY, 'test/compat/git-server.ts')
  const argv = [process.execPath, script, String(portOf('gitlab.com')), join(world.directory, 'git'), basic]
  const server = world.spawnInternet(argv)
  await server.saw(/^ready$/m)

  const manifests = [
    gateway(),
    providerRoute({ provider: 'custom', hostnames: ['gitlab.com'] }, 'gitlab'),
    injection('gitlab', 'authorization'),
    secret('gitlab-credentials', { 'api-key': basic }),
  ]
  const workspace = makeWorkspace(world)
  const options = { manifests, workspace, cwd: workspace, env: callerEnvironment(world) }
  const { code, stdout, stderr } = await clrkRun(world, ['sh', '-ec', CLONE_AND_PUSH], options)
  assert.equal(code, 0, stderr)
  assert.ok(!`${stdout}${stderr}`.includes(world.key))
  const pushed = await run('git -c safe.directory="*" rev-parse main', bare)
  assert.equal(pushed.trim(), stdout.trim())
  const requests = server.written().stdout
  assert.match(requests, /^POST \/acme\/large\.git\/git-upload-pack /m)
  assert.match(requests, /^POST \/acme\/large\.git\/git-receive-pack chunked$/m)

  async function run(shell: string, cwd: string): Promise<string> {
    const { code, stdout, stderr } = await world.host(['sh', '-ec', shell], { cwd })
    assert.equal(code, 0, stderr)
    return stdout
  }
})

const SETTINGS = '-c core.compression=0 -c pack.window=0 -c user.name=a -c user.email=a@example.com'
const MAKE_REPOSITORY = `
  git init -q --bare -b main .
  git init -q -b main ../work && cd ../work
  for part in 1 2 3 4; do head -c 25000000 /dev/urandom >part-$part; done
  git ${SETTINGS} add . && git ${SETTINGS} commit -q -m first
  git ${SETTINGS} push -q ../large.git main && cd .. && rm -r work`
const CLONE_AND_PUSH = `
  git clone -q https://gitlab.com/acme/large.git && cd large
  for part in 1 2 3 4; do test "$(wc -c <part-$part)" = 25000000; done
  head -c 100000000 /dev/urandom >more
  git ${SETTINGS} add . && git ${SETTINGS} commit -q -m second
  git ${SETTINGS} push -q origin main
  git rev-parse HEAD`
