/**
 * What holds the key on the host shows it to nobody but root: no dump, no inspector, no argument, variable, log or file
 * that others read, whatever a signal or a crash does. T74, T78, T91, T127, T134.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { CLRK, clrkRun, clrkStatus, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { eventually } from '../world/eventually.ts'
import { grepForCanary } from '../world/leaks.ts'
import { mainJob } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'

test('worker and shards keep the key to themselves, signalled, crashed or looked at', async t => {
  const world = await createWorld(t)
  await startWorker(world, mainJob(world.key))
  const proc = `/proc/${world.machine.init}/root/proc`
  const holders = async () => {
    const { pid, shards } = await clrkStatus(world)
    return [pid, ...shards.map(shard => shard.pid ?? assert.fail())]
  }
  const agent = spawnClrkRun(world, ['sh', '-c', 'echo up; exec sleep 60'], { arguments: ['--gateway', 'test'] })
  await agent.saw(/up/)
  const first = await holders()
  assert.ok(first.length >= 2)

  await t.test('a signal opens no inspector, and what is not dumpable stays so', async () => {
    for (const pid of first) {
      await world.host(['kill', '-USR1', String(pid)])
      const status = readFileSync(`${proc}/${pid}/status`, 'utf8')
      const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1])
      // proc_pid(5): of a process that is not dumpable the files belong to root, whoever it runs as.
      assert.equal(statSync(`${proc}/${pid}/environ`).uid, 0)
      if (uid !== 0) {
        assert.match(status, /^NoNewPrivs:\t1$/m)
        assert.match(status, /^CapBnd:\t0+$/m)
        const read = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--inh-caps=-all', 'cat']
        for (const file of ['environ', 'maps', 'mem']) {
          const { code, stderr } = await world.host([...read, `/proc/${pid}/${file}`])
          assert.notEqual(code, 0, file)
          assert.match(stderr, /Permission denied/, file)
        }
      }
      const status2 = await world.host(['kill', '-0', String(pid)])
      assert.equal(status2.code, 0, 'it is still there')
    }
    const sockets = (await world.host(['ss', '-ltnHp'])).stdout.split('\n').filter(Boolean)
    assert.deepEqual(sockets, []) // on the host, clrk listens on no TCP port at all
  })

  await t.test('no argument, variable, log line or open file of the host holds it', async () => {
    const [, shard] = first
    await world.host(['kill', '-ABRT', String(shard)])
    await eventually(async () => ((await clrkStatus(world)).shards[0]?.restarts === 1 ? true : null))
    const state = stateOf(world)
    const { code, stderr } = await clrkRun(world, ['true'], { arguments: ['--gateway', 'test'] })
    assert.equal(code, 0, stderr)
    const kept = readdirSync(state)
      .filter(name => name !== 'secrets')
      .map(name => join(state, name))
    assert.deepEqual(
      grepForCanary(
        world,
        world.keyPrefix,
        kept.filter(path => statSync(path).isDirectory()),
      ),
      [],
    )
    assert.ok(!readFileSync(join(state, 'worker.log'), 'latin1').includes(world.keyPrefix))
    for (const pid of first.filter(number => number !== shard)) {
      const links = readdirSync(`${proc}/${pid}/fd`).map(fd => readlinkSync(`${proc}/${pid}/fd/${fd}`))
      assert.deepEqual(
        links.filter(link => /secret|\.key|core/.test(link)),
        [],
      )
    }
    const cores = (await world.host(['sh', '-c', 'ls / /tmp | grep -E "^core"; true'])).stdout
    assert.equal(cores, '')
  })

  await t.test('only root reaches the state and the control socket', async () => {
    const state = stateOf(world)
    assert.equal(statSync(state).mode & 0o777, 0o700)
    assert.equal(statSync(join(state, 'control.sock')).mode & 0o777, 0o600)
    const open = readdirSync(state, { recursive: true, withFileTypes: true })
      .map(entry => join(entry.parentPath, entry.name))
      .filter(path => (statSync(path).mode & 0o077) !== 0 && !/\/(version|docker.*)$/.test(path))
    assert.deepEqual(open, [])
    await world.host(['chmod', '755', world.directory])
    const other = ['setpriv', '--reuid=4242', '--regid=4242', '--clear-groups']
    const { code, stderr } = await world.host([...other, ...CLRK, 'status', '--state', state])
    assert.notEqual(code, 0, stderr)
  })
  agent.kill('SIGTERM')
  await agent.exited
})
