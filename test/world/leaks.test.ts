/** The leak check can fail: each kind of thing is left behind on purpose, found, and gone when it is gone. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { assertNothingLeft, grepForCanary, snapshot } from './leaks.ts'
import { createWorld } from './world.ts'

test('what is left behind is found', async t => {
  const world = await createWorld(t)
  const before = snapshot(world)
  const server = `import socket, time
a, b = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
a.bind("\\0left-behind"); a.listen(); b.bind("/run/left-behind.sock"); print("up", flush=True); time.sleep(1000)`
  const left = world.spawnHost(['unshare', '--net', 'python3', '-c', server], {
    env: { CANARY: 'canary-in-environment' },
  })
  const sockets = world.spawnHost(['python3', '-c', server.replaceAll('left-behind.sock', 'other.sock')])
  await Promise.all([left.saw(/up/), sockets.saw(/up/)])
  await world.host(['mount', '-t', 'tmpfs', 'tmpfs', '/mnt'])
  const cgroup = join(['/sys/fs/cgroup/pids', '/sys/fs/cgroup'].find(existsSync) ?? '', `clrk-left-${process.pid}`)
  mkdirSync(cgroup)
  t.after(() => existsSync(cgroup) && rmdirSync(cgroup))
  writeFileSync(join(world.directory, 'file'), 'canary-in-file')

  const now = snapshot(world)
  for (const what of ['processes', 'namespaces', 'mounts', 'cgroups', 'sockets', 'files'] as const) {
    assert.ok(
      now[what].some(item => !before[what].includes(item)),
      `no ${what} found`,
    )
  }
  await assert.rejects(assertNothingLeft(world, before, 1), /left behind/)
  assert.equal(grepForCanary(world, 'canary-in-file', [world.directory]).length, 1)
  assert.equal(grepForCanary(world, 'canary-in-environment', []).length, 1)
  assert.deepEqual(grepForCanary(world, 'canary-nowhere', [world.directory]), [])

  left.kill('SIGKILL')
  sockets.kill('SIGKILL')
  await world.host(['sh', '-c', 'umount /mnt; rm /run/*.sock'])
  rmdirSync(cgroup)
  await assertNothingLeft(world, before)
})
