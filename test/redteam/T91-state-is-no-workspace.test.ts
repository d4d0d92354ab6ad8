/** No workspace shows an agent the worker's keys, the machine or a whole home, whatever path leads there. T78, T91. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { openWorkspace } from '../../src/runtimes/docker-workspace.ts'
import { clrkRun, clrkSecretSet, startWorker, stateOf } from '../world/clrk.ts'
import { createWorld } from '../world/world.ts'

test("the worker's state is no workspace, nor is what holds it or lies in it", async t => {
  const world = await createWorld(t)
  const state = stateOf(world)
  await startWorker(world, []) // one for all
  mkdirSync(join(world.directory, 'own'))
  const own = join(world.directory, 'own/link')
  symlinkSync('../state', own)
  assert.equal((await clrkSecretSet(world, 'anthropic', `api-key=${world.key}`)).code, 0)
  assert.ok(existsSync(join(state, 'secrets/default/anthropic')))

  const paths = [state, join(state, 'secrets'), `${state}/../state/ca`, world.directory, own, join(own, 'secrets')]
  for (const workspace of [...paths, '/', '/etc', '/proc', '/var', '/root', join(world.directory, 'home')]) {
    const script = 'touch made; find . -type f; cat secrets/default/* default/* state/secrets/default/* */*.pem'
    const { code, stdout, stderr } = await clrkRun(world, ['sh', '-c', script], { workspace, user: '0' })
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' }, `${workspace}: ${stderr}`)
    assert.match(stderr, /sharing the workspace .*(the worker's state|a system directory|the whole home)/)
    assert.ok(!existsSync(join(workspace, 'made')), workspace)
  }
  for (const workspace of paths) {
    assert.throws(() => openWorkspace(workspace, [], state), /the worker's state/, workspace) // an image's
  }
})
