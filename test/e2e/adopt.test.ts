/**
 * Agents in images outlive their worker: the next one adopts what it can prove to be its own, and removes the rest. What
 * was cut off meanwhile was refused, never let out.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { RunRecord } from '../../src/worker/control.ts'
import { clrkStatus, spawnClrkRun, startWorker, stateOf, stopWorker } from '../world/clrk.ts'
import { type EngineWorld, IMAGE, withEngineWorld } from '../world/engine-world.ts'
import { eventually } from '../world/eventually.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import type { MachineProcess } from '../world/machine.ts'
import { allowHosts, gateway, l4Route, type Resource } from '../world/manifests.ts'
import type { World } from '../world/world.ts'

test('an agent goes on when its worker was killed: same sandbox, same names, one record with its own exit', async t => {
  await withEngineWorld(t, [process.execPath], async ({ world, engine, env }) => {
    const before = snapshot(world)
    const manifests = [
      gateway(),
      allowHosts('echo.example.com', 'other.example.com'),
      task('asker', ['node', '-e', ASKER]),
    ]
    const first = await startWorker(world, manifests, { env })
    await first.saw(/asker.*answered 200/)
    const sandbox = /asker runs in sandbox (\S+)/.exec(first.written().stdout)?.[1]
    await killWorker(world, first)
    const asked = (await world.requests()).length
    await eventually(async () => ((await running(engine)) === 2 ? true : null)) // both live on
    assert.equal((await world.requests()).length, asked)

    const second = await startWorker(world, manifests, { env })
    await second.saw(/asker ended with status 5/)
    assert.match(second.written().stdout, new RegExp(`asker runs in sandbox ${sandbox}`))
    await eventually(() => (recordsOf(world).length === 1 ? true : null))
    const [record] = recordsOf(world)
    assert.deepEqual(
      { id: record?.id, exit: record?.exit, agent: record?.agent },
      { id: sandbox, exit: { code: 5, signal: null, reason: null }, agent: 'default/asker' },
    )
    assert.ok((record?.bootMs ?? 0) > 0 && (record?.requests ?? 0) >= 3, JSON.stringify(record))
    const later = (await world.requests()).slice(asked)
    assert.ok(later.length >= 3)
    assert.deepEqual([...new Set(later.map(({ server }) => server))], ['other.example.com'])
    await stopWorker(second)
    assert.equal(await running(engine), 0)
    assert.deepEqual(readdirSync(join(stateOf(world), 'running')), [])
    await assertNothingLeft(world, before)
    assert.deepEqual(await world.arrivals(), [])
  })
})

test('what does not verify is removed, and another state is never touched', async t => {
  await withEngineWorld(t, [], async ({ world, engine, env }) => {
    const sleeper = ['sh', '-c', 'echo up; while :; do sleep 1; done']
    const names = ['fine', 'flushed', 'rerouted', 'restarted', 'listening', 'changed', 'wider', 'paused', 'unnamed']
    const agent = (name: string) => task(name, sleeper, name === 'wider' ? 'narrow' : 'test')
    const manifests = [gateway(), allowHosts('echo.example.com'), gateway({}, 'narrow'), ...names.map(agent)]
    const first = await startWorker(world, manifests, { env })
    const other = await startWorker(world, [gateway(), task('neighbour', sleeper)], { env, state: 'other' })
    for (const name of names) await first.saw(new RegExp(`${name} +.*up`))
    await other.saw(/neighbour +.*up/)
    const alone = spawnClrkRun(world, sleeper, { env, arguments: ['--image', IMAGE] })
    await alone.saw(/up/)
    const idOf = (name: string, { written }: MachineProcess) =>
      new RegExp(`${name} runs in sandbox (\\S+)`).exec(written().stdout)?.[1] ?? assert.fail(name)
    const ids = Object.fromEntries(names.map(name => [name, idOf(name, first)]))
    const neighbours = (await engine.docker.listContainers()).filter(({ Names }) =>
      Names.some(name => name.includes(idOf('neighbour', other))),
    )
    assert.equal(neighbours.length, 2)
    await killWorker(world, first)
    assert.notEqual((await alone.exited).code, 0)

    const container = async (name: string, role: 'pause' | 'agent') => {
      const all = await engine.docker.listContainers()
      const found = all.find(({ Names }) => Names.some(it => it.endsWith(`-${ids[name]}-${role}`)))
      return engine.docker.getContainer(found?.Id ?? assert.fail(`${name} ${role}`))
    }
    const inside = async (name: string, ...argv: readonly string[]) => {
      const { State } = await (await container(name, 'pause')).inspect()
      const { code, stderr } = await world.host(['nsenter', `--net=/proc/${State.Pid}/ns/net`, ...argv])
      assert.equal(code, 0, stderr)
    }
    await inside('flushed', 'nft', 'flush', 'ruleset')
    await inside('rerouted', 'ip', 'route', 'add', '10.0.0.0/8', 'dev', 'lo')
    await (await container('restarted', 'pause')).restart({ t: 0 })
    await inside('listening', 'python3', '-c', LISTEN_AND_LEAVE)
    await (await container('paused', 'agent')).pause()
    const journal = join(stateOf(world), 'running', `${ids.unnamed}.names`)
    assert.ok(existsSync(journal))
    await world.host(['rm', journal])

    const changed = manifests.map(it => (it.metadata.name === 'changed' ? task('changed', [...sleeper, 'more']) : it))
    const route = l4Route([{ destinationHostnames: ['echo.example.com'], ports: [{ port: 443 }] }], 'more', 'narrow')
    const second = await startWorker(world, [...changed, route], { env })
    for (const name of names) await second.saw(new RegExp(`${name} runs in sandbox`))
    const kept = names.filter(name => idOf(name, second) === ids[name])
    assert.deepEqual(kept, ['fine'])
    await eventually(() => (recordsOf(world).length === names.length ? true : null)) // the ad-hoc one, all but `fine`
    for (const { exit } of recordsOf(world)) assert.deepEqual(exit, { code: null, signal: 'SIGKILL' })
    const log = readFileSync(join(stateOf(world), 'worker.log'), 'utf8')
    for (const [name, reason] of Object.entries(REASONS)) {
      assert.match(log, new RegExp(`${ids[name]} of an earlier worker is (not adopted|removed): .*${reason}`), name)
    }
    const now = await engine.docker.listContainers()
    for (const { Id } of neighbours) assert.ok(now.some(it => it.Id === Id && it.State === 'running'))
    assert.equal(now.length, 2 * names.length + 2)
    await stopWorker(second)
    assert.equal((await engine.docker.listContainers({ all: true })).length, 2)
    assert.equal((await clrkStatus(world, 'other')).sandboxes.length, 1)
    await stopWorker(other)
    assert.equal((await engine.docker.listContainers({ all: true })).length, 0)
  })
})

/** What the worker's log says of each. */
const REASONS = {
  flushed: 'its rules are not those that clrk made',
  rerouted: 'its routes are not those that clrk made',
  restarted: 'its pause container has restarted|its agent has ended',
  listening: 'its sockets cannot be made again: bind: EADDRINUSE',
  changed: 'its manifest, policy or CA is another one now',
  wider: 'its manifest, policy or CA is another one now',
  paused: 'its agent is paused',
}

/** Holds the proxy's port in the background. */
const LISTEN_AND_LEAVE = `import os, socket, time
holder = socket.create_server(("::1", 15001), family=socket.AF_INET6)
if os.fork() == 0:
    os.setsid()
    for descriptor in range(3): os.close(descriptor)
    time.sleep(20)`

/** Asks one name, then the other at the address that it had at first; ends with status 5 after an outage. */
const ASKER = `
const { lookup } = require('node:dns/promises')
const { request } = require('node:https')
const ask = (host, address) => new Promise(done => {
  const asking = request({ host: address, servername: host, headers: { host }, path: '/', timeout: 2000, agent: false }, answer => {
    answer.resume().on('end', () => done(answer.statusCode))
  })
  asking.on('error', error => done(error.code)).on('timeout', () => asking.destroy()).end()
})
const main = async () => {
  const host = 'other.example.com'
  await ask('echo.example.com', (await lookup('echo.example.com')).address)
  const { address } = await lookup(host)
  let [isOut, answers] = [false, 0]
  for (;;) {
    const status = await ask(host, address)
    console.log('answered', status)
    if (status !== 200) [isOut, answers] = [true, 0]
    else if (isOut && ++answers === 3 && (await lookup(host)).address === address) process.exit(5)
    await new Promise(done => setTimeout(done, 50))
  }
}
main()`

function task(name: string, command: readonly string[], gatewayName = 'test'): Resource {
  return {
    apiVersion: 'clrk.apoxy.dev/v1alpha1',
    kind: 'TaskAgent',
    metadata: { name },
    spec: {
      timeout: '10m',
      template: { spec: { image: IMAGE, command } },
      egressRefs: [{ gatewayRef: { name: gatewayName } }],
      resources: { memory: '128Mi' },
    },
  }
}

async function killWorker(world: World, dev: MachineProcess): Promise<void> {
  const { pid } = await clrkStatus(world)
  await world.host(['kill', '-KILL', String(pid)])
  await dev.exited
}

async function running({ docker }: EngineWorld['engine']): Promise<number> {
  return (await docker.listContainers()).length
}

function recordsOf(world: World): readonly RunRecord[] {
  const path = join(stateOf(world), 'runs.jsonl')
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as RunRecord)
}
