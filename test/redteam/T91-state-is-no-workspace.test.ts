/**
 * No workspace shows an agent the worker's keys, the machine or a whole home, whatever path leads there; and no secret is
 * told to a socket that somebody else could have put in the worker's place. T74, T78, T91.
 */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
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
  for (const workspace of [state, join(state, 'secrets'), world.directory, own, '/home', '/etc']) {
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

test('a state directory that another user owns or may write to is told nothing', async t => {
  const world = await createWorld(t)
  chmodSync(world.directory, 0o755)
  for (const [name, owner, mode] of [
    ['foreign', 4242, 0o700],
    ['open', 0, 0o777],
    ['sticky', 0, 0o1777],
  ] as const) {
    const state = stateOf(world, name)
    mkdirSync(state)
    chownSync(state, owner, owner)
    chmodSync(state, mode)
    const listener = world.spawnHost(['python3', '-uc', LISTENER, join(state, 'control.sock')])
    await listener.saw(/up/)
    const { code, stderr } = await clrkSecretSet(world, 'anthropic', `api-key=${world.key}`, name)
    assert.equal(code, 1)
    assert.match(stderr, /it belongs to uid 4242|others may write to it/)
    assert.equal(listener.written().stdout, 'up\n')
    for (const file of ['secrets', 'worker.log', 'worker.pid']) assert.ok(!existsSync(join(state, file)), file)
    listener.kill('SIGKILL')
    await listener.exited
  }
})

const LISTENER = `import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
server.listen()
print("up")
while True: print("told", server.accept()[0].recv(65536))`
