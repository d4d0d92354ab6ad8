/** What others do to a sandbox's containers, and an engine that goes away: clear ends, and nothing left. */
import assert from 'node:assert/strict'
import { closeSync, readFileSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { insideNetworkNamespace } from '../../src/kernel/syscalls.ts'
import { applyPlumbing, proveRedirect } from '../../src/plumbing/apply.ts'
import { planPlumbing } from '../../src/plumbing/plan.ts'
import { closeSockets, openSockets } from '../../src/plumbing/sockets.ts'
import { openPodNamespace } from '../../src/runtimes/docker-pod.ts'
import { eventually } from '../world/eventually.ts'
import { BUSYBOX, connect, engine, readUntil, run, runtime, STATE_ID, sh, specOf, startSandbox } from './containers.ts'

const FOREVER = sh('echo up; sleep 1000')

async function startForever(t: TestContext) {
  const spec = specOf(FOREVER)
  const prepared = await runtime.prepare(spec.id, { labels: {} })
  t.after(prepared.release)
  const sandbox = await runtime.start(spec, prepared)
  t.after(sandbox.stop)
  await readUntil(sandbox.stdout, /up/)
  const found = (await runtime.list()).find(it => it.sandbox === spec.id)
  return {
    sandbox,
    pause: engine.docker.getContainer(prepared.pause),
    agent: engine.docker.getContainer(found?.agent ?? ''),
  }
}

test('a prepared namespace has only lo, is plumbed, and redirects both families', async t => {
  const { netns, pause, release } = await runtime.prepare('plumbed', { labels: { policy: 'digest' } })
  t.after(release)
  await applyPlumbing(netns, planPlumbing())
  const sockets = openSockets(netns)
  t.after(() => closeSockets(sockets))
  proveRedirect(netns, sockets[0])
  const spec = specOf(sh('cat /proc/net/dev /etc/resolv.conf /etc/hosts; echo $(cat /etc/hostname)'), { id: 'plumbed' })
  const sandbox = await runtime.start(spec, { pause })
  t.after(sandbox.stop)
  const text = await readUntil(sandbox.stdout, /plumbed\n$/)
  assert.deepEqual(text.match(/^ *\w+:(?= +\d)/gm), ['    lo:'])
  assert.match(text, /^nameserver 198\.18\.0\.53\n/m)
  assert.doesNotMatch(text, /^search [^.]/m)
  assert.match(text, /^127\.0\.0\.1\s+plumbed$/m)
})

test('the namespace of a process that is not the container is never entered', () => {
  const before = readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8')
  assert.throws(() => openPodNamespace(process.pid, 'f'.repeat(64)), /it is another process here/)
  assert.throws(() => openPodNamespace(2 ** 22, 'f'.repeat(64)), /ENOENT/)
  assert.equal(readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8'), before)
})

test('a namespace with another interface is not taken for a sandbox', async t => {
  const { netns, pause, release } = await runtime.prepare('bridged', { labels: {} })
  t.after(release)
  await applyPlumbing(netns, [{ argv: ['ip', 'link', 'add', 'eth0', 'type', 'bridge'], stdin: '' }])
  const { State } = await engine.docker.getContainer(pause).inspect()
  assert.throws(() => openPodNamespace(State.Pid, pause), /its namespace has the interfaces lo, eth0/)
})

test('killed from outside', async t => {
  const { sandbox, agent } = await startForever(t)
  await agent.kill()
  assert.deepEqual(await sandbox.exited, { code: null, signal: 'SIGKILL', reason: null })
})

test('removed from outside', async t => {
  const { sandbox, agent } = await startForever(t)
  await agent.remove({ force: true })
  assert.deepEqual(await sandbox.exited, { code: null, signal: 'SIGKILL', reason: null })
  await sandbox.stop()
})

test('restarted from outside: the sandbox is over, and what came back goes with it', async t => {
  const { sandbox, agent } = await startForever(t)
  await agent.restart({ t: 0 })
  assert.equal((await sandbox.exited).code === 0, false)
  await sandbox.stop()
  await assert.rejects(agent.inspect(), /no such container/i)
})

test('paused from outside: the sandbox is ended', async t => {
  const { sandbox, agent } = await startForever(t)
  await agent.pause()
  assert.deepEqual(await sandbox.exited, { code: null, signal: 'SIGKILL', reason: 'paused-from-outside' })
})

test('a pause container that restarts takes the sandbox with it', async t => {
  const { sandbox, pause } = await startForever(t)
  await pause.restart({ t: 0 }).catch(() => {}) // where that fails, it has ended all the same
  assert.deepEqual(await sandbox.exited, { code: null, signal: 'SIGKILL', reason: 'namespace-gone' })
})

test('what a dead worker left is listed, by that state alone, and removed', async t => {
  const other = await connect('another0')
  const { netns, pause } = await runtime.prepare('left', { labels: { digest: 'abc' } })
  await runtime.start(specOf(FOREVER, { id: 'left' }), { pause })
  t.after(() => closeSync(netns))
  assert.deepEqual(await other.list(), [])
  await other.remove('left')
  const [found, ...more] = await runtime.list()
  assert.deepEqual(more, [])
  assert.deepEqual(
    { ...found, agent: typeof found?.agent },
    {
      sandbox: 'left',
      agent: 'string',
      running: true,
      labels: { digest: 'abc' },
      pause: { id: pause, pid: found?.pause?.pid },
    },
  )
  const again = openPodNamespace(found?.pause?.pid ?? 0, pause)
  t.after(() => closeSync(again))
  const inode = (fd: number) => insideNetworkNamespace(fd, () => readFileSync('/proc/thread-self/net/dev', 'utf8'))
  assert.equal(inode(again), inode(netns))
  await runtime.remove('left')
  assert.deepEqual(await runtime.list(), [])
})

test('a container that only says that it is ours is left alone', async t => {
  const labels = { 'clrk.apoxy.dev/state': STATE_ID, 'clrk.apoxy.dev/sandbox': 'x', 'clrk.apoxy.dev/role': 'agent' }
  const container = await engine.docker.createContainer({ Image: BUSYBOX.id, Cmd: ['sh'], Labels: labels })
  t.after(() => container.remove())
  assert.deepEqual(await runtime.list(), [])
})

test('an image that is nowhere is one clear line', async () => {
  const lines: string[] = []
  const found = runtime.image('registry.invalid/nothing:1', line => lines.push(line))
  await assert.rejects(found, /^Error: the image cannot be had: registry\.invalid\/nothing:1: .* Check its name/)
  await assert.rejects(
    runtime.image('Not A Name', () => {}),
    /the image cannot be had/,
  )
})

test('an engine that ends in the middle of a boot is one clear line; back again, it works', async () => {
  const prepared = await runtime.prepare('cut', { labels: {} })
  await engine.kill()
  const gone = /the container engine cannot be used: .*docker\.sock: no engine answers there\./
  await assert.rejects(runtime.start(specOf(FOREVER, { id: 'cut' }), prepared), gone)
  await assert.rejects(runtime.prepare('never', { labels: {} }), gone)
  await engine.start()
  await runtime.remove('cut')
  assert.equal((await run(['/bin/true'])).exit.code, 0)
  await prepared.release()
})

test('an engine that ends under a running agent: the agent is over, and nothing is left when it is back', async t => {
  const spec = specOf(FOREVER)
  const sandbox = await startSandbox(t, spec)
  await readUntil(sandbox.stdout, /up/)
  await engine.kill()
  await engine.start()
  const { reason } = await sandbox.exited
  assert.equal(reason, 'engine-gone')
  await sandbox.stop()
  await runtime.remove(spec.id)
  await eventually(async () => ((await engine.docker.listContainers({ all: true })).length === 0 ? true : null))
})
