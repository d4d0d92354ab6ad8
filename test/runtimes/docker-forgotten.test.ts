import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createCgroup, planCgroup, readCgroupSources, removeCgroup } from '../../src/runtimes/cgroup.ts'
import { endForgotten } from '../../src/runtimes/docker-forgotten.ts'

test('what is left of a container that was removed is ended, and nothing else', async t => {
  const [gone, other] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')]
  const [waiting, living] = [processOf(t, gone), processOf(t, other)]
  const shim = (id: string) => spawnFor(t, '/usr/bin/containerd-shim-runc-v2', ['600', '-id', id])
  const [goneShim, otherShim] = [shim(gone), shim(other)]

  endForgotten(gone)
  for (const child of [waiting, goneShim]) {
    if (child.signalCode === null) await once(child, 'exit')
    assert.equal(child.signalCode, 'SIGKILL')
  }
  for (const child of [living, otherShim]) assert.deepEqual([child.exitCode, child.signalCode], [null, null])
})

/** A process in the cgroup of container `id`. */
function processOf(t: TestContext, id: string): ChildProcess {
  const cgroup = planCgroup(readCgroupSources(), id, { memoryBytes: 2 ** 26, cpus: 1, pids: 10 })
  createCgroup(cgroup)
  const child = spawnFor(t, 'sleep', ['600'])
  for (const directory of cgroup.directories) writeFileSync(join(directory, 'cgroup.procs'), String(child.pid))
  t.after(() => removeCgroup(cgroup))
  return child
}

/** A process that goes by that name. */
function spawnFor(t: TestContext, name: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '--', ...args], {
    argv0: name,
    stdio: 'ignore',
  })
  t.after(() => child.kill('SIGKILL'))
  return child
}
