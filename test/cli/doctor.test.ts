/** `clrk doctor` on machines that lack one thing each: it is named, with what mends it, and the exit code says what runs. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import test from 'node:test'
import { probeKernel } from '../../src/kernel/probes.ts'
import { type Finding, verdictOf } from '../../src/worker/diagnose.ts'
import { CLRK, REPOSITORY, stateOf } from '../world/clrk.ts'
import { startEngine } from '../world/engine.ts'
import type { Finished } from '../world/machine.ts'
import { createWorld, type World } from '../world/world.ts'

testWithEngine('all is there: both runtimes can run, and nothing is left of the trials', async (world, host) => {
  const before = traces(world)
  const { code, stdout, stderr } = await doctor(world, { host })
  assert.equal(code, 0, stdout + stderr)
  assert.doesNotMatch(stdout, /^(missing|unknown)/m)
  assert.match(stdout, /^ok +nft +the ruleset loads, and connections are redirected in both families$/m)
  assert.match(stdout, /^ok +engine /m)
  assert.match(stdout, /^runtime local: can run\nruntime docker: can run\n$/m)
  assert.deepEqual(traces(world), before)
  assert.deepEqual(await world.arrivals(), [])
  assert.equal(existsSync(stateOf(world)), false)
})

testWithEngine('no user namespaces: docker only', async (world, host) => {
  await world.host(['sh', '-c', 'echo 0 >/run/none && mount --bind /run/none /proc/sys/user/max_user_namespaces'])
  const { code, stdout } = await doctor(world, { host })
  assert.equal(code, 11, stdout)
  assert.match(stdout, /^missing +sandbox +user namespaces are turned off\. sysctl -w user\.max_user_namespaces=\d+$/m)
  assert.match(stdout, /^runtime local: cannot run \(sandbox\)\nruntime docker: can run\n$/m)
  assert.equal((await doctor(world, { host, arguments: ['--runtime', 'docker'] })).code, 0)
  assert.equal((await doctor(world, { host, arguments: ['--runtime', 'local'] })).code, 1)
})

test('no engine: local only', async t => {
  const world = await createWorld(t)
  const { code, stdout } = await doctor(world)
  assert.equal(code, 10, stdout)
  assert.match(stdout, /^missing +engine .*none\.sock: no engine answers there\. Start it/m)
  assert.match(stdout, /^runtime local: can run\nruntime docker: cannot run \(engine\)\n$/m)
  const docker = await doctor(world, { arguments: ['--runtime', 'docker', '--json'] })
  assert.equal(docker.code, 1)
  const { checks, runtimes } = JSON.parse(docker.stdout)
  assert.deepEqual(runtimes, { docker: { state: 'missing', because: ['engine'] } })
  const engine = checks.find(({ name }: { name: string }) => name === 'engine')
  assert.deepEqual([engine.state, engine.required, engine.runtimes], ['missing', true, ['docker']])
  assert.equal(
    checks.some(({ name }: { name: string }) => name === 'sandbox'),
    false,
  )
})

test('a program that is missing, or does not do what it should', async t => {
  const world = await createWorld(t)
  for (const [program, by, code, pattern] of [
    ['nft', '/dev/null', 1, /^missing +nft +nft is not installed\. apt-get install nftables$/m],
    ['nft', '/bin/false', 1, /^missing +nft +nft failed: .*\. modprobe /m],
    ['nft', '/bin/true', 1, /^missing +nft +self-test failed: IPv4 is not redirected/m],
    ['ip', '/dev/null', 1, /^missing +ip +ip is not installed\. apt-get install iproute2$/m],
    ['bwrap', '/dev/null', 1, /^missing +bwrap +bwrap is not installed\. apt-get install bubblewrap$/m],
    ['bwrap', '/bin/false', 1, /^missing +bwrap +it ended with 1\./m],
    ['nsenter', '/dev/null', 1, /^missing +nsenter .* apt-get install util-linux$/m],
    ['setpriv', '/dev/null', 1, /^missing +setpriv .* apt-get install util-linux$/m],
    ['gcc', '/dev/null', 10, /^missing +programs +.*gcc.* apt-get install gcc libc6-dev$/m],
  ] as const) {
    await t.test(`${program} is ${by}`, async () => {
      const path = await replace(world, `$(command -v ${program})`, by)
      const finished = await doctor(world)
      assert.match(finished.stdout, pattern)
      assert.equal(finished.code, code)
      await world.host(['umount', path])
    })
  }
})

test('places that do not do', async t => {
  const world = await createWorld(t)
  await world.host(['sh', '-c', 'mkdir /run/only && mount -t tmpfs -o ro none /run/only'])
  const state = await doctor(world, { arguments: ['--state', '/run/only/deeper/state'] })
  assert.match(state.stdout, /^missing +state +\/run\/only cannot be written \(EROFS\)\. .*--state DIRECTORY$/m)
  assert.equal(state.code, 1)

  const workspace = await doctor(world, { cwd: '/proc' })
  assert.match(workspace.stdout, /^missing +workspace .*\/proc cannot map owners .* \(it runs without\)\. Keep/m)
  assert.equal(workspace.code, 10)

  await world.host(['mount', '-t', 'tmpfs', '-o', 'ro', 'none', '/sys/fs/cgroup'])
  const cgroups = await doctor(world)
  assert.match(cgroups.stdout, /^missing +cgroups /m)
  assert.match(cgroups.stdout, /^runtime local: cannot run \(cgroups\)$/m)

  await world.host(['mount', '-t', 'tmpfs', 'none', '/etc/ssl'])
  const roots = await doctor(world, { arguments: ['--runtime', 'docker'] })
  assert.match(roots.stdout, /^missing +roots .*no CA bundle \(it runs without\)\. apt-get install ca-certificates$/m)
})

testWithEngine('without root it says what it cannot tell, and what is missing all the same', async (world, host) => {
  // A clone below a home that is closed to others cannot be read by them: show it elsewhere.
  await world.host(['sh', '-c', `mkdir /run/clone && mount --bind '${REPOSITORY}' /run/clone`])
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--', 'sh', '/run/clone/src/clrk']
  const user = await doctor(world, { host, command: nobody })
  assert.equal(user.code, 1)
  assert.equal(user.stderr, '')
  for (const name of ['root', 'nft', 'unshare', 'bwrap', 'state', 'sandbox', 'cgroups', 'engine']) {
    assert.match(user.stdout, new RegExp(`^unknown +${name} .*\\. sudo clrk doctor$`, 'm'))
  }
  assert.match(user.stdout, /^ok +kernel /m)
  assert.doesNotMatch(user.stdout, /^missing/m)
  assert.match(user.stdout, /^runtime local: could not tell \(.*\)\nruntime docker: could not tell \(.*\)\n$/m)
  await replace(world, '$(command -v bwrap)', '/dev/null')
  assert.match((await doctor(world, { host, command: nobody })).stdout, /^missing +bwrap /m)
})

test("the root of a user namespace is not the machine's, and is told so", async t => {
  const world = await createWorld(t)
  for (const contained of [
    ['unshare', '--user', '--map-root-user'],
    ['setpriv', '--bounding-set=-all'],
  ]) {
    const { code, stdout, stderr } = await doctor(world, { command: [...contained, ...CLRK] })
    assert.equal(stderr, '')
    assert.equal(code, 1)
    assert.match(stdout, /^missing +root +this root has no power over the machine/m)
    assert.match(stdout, /^runtime local: cannot run \(root\)$/m)
  }
})

test('what an old kernel lacks is said without trying', () => {
  for (const release of ['5.12.0', '6.1.0-18-amd64', '10.0']) assert.equal(probeKernel(release).answer, 'yes', release)
  for (const release of ['5.11.22', '4.19.0-26-amd64']) assert.equal(probeKernel(release).answer, 'no', release)
  assert.equal(probeKernel('GNU/Hurd').answer, 'could not tell')
})

test('what is missing decides before what is unknown; advice decides nothing', () => {
  const finding = (name: string, answer: Finding['probe']['answer'], required = true): Finding => ({
    ...{ name, runtimes: ['local'], required },
    probe: { answer, found: '', needs: '' },
  })
  const [fine, missing, unknown] = [finding('a', 'yes'), finding('b', 'no'), finding('c', 'could not tell')]
  assert.deepEqual(verdictOf([fine, finding('d', 'no', false)], 'local'), { answer: 'yes', because: [] })
  assert.deepEqual(verdictOf([unknown, fine], 'local'), { answer: 'could not tell', because: ['c'] })
  assert.deepEqual(verdictOf([unknown, missing], 'local'), { answer: 'no', because: ['b'] })
  assert.deepEqual(verdictOf([missing], 'docker'), { answer: 'yes', because: [] })
})

type Asked = {
  readonly host?: string
  readonly arguments?: readonly string[]
  readonly command?: readonly string[]
  readonly cwd?: string
}

/** `host`: DOCKER_HOST; without one no engine is found, whatever this machine has. */
function doctor(
  world: World,
  { host = `unix://${world.directory}/none.sock`, ...asked }: Asked = {},
): Promise<Finished> {
  const { command = CLRK, arguments: more = [], cwd = world.directory } = asked
  const state = more.includes('--state') ? [] : ['--state', stateOf(world)]
  const env = { PATH: process.env.PATH ?? '', HOME: world.directory, DOCKER_HOST: host }
  return world.host([...command, 'doctor', ...state, ...more], { env, cwd })
}

/** On a world whose host has a private engine. */
function testWithEngine(name: string, body: (world: World, host: string) => Promise<void>): void {
  test(name, async t => {
    const world = await createWorld(t)
    const engine = await startEngine(argv => {
      const running = world.spawnHost(argv)
      return { kill: signal => running.kill(signal), exited: running.exited }
    })
    try {
      await body(world, `unix://${engine.socket}`)
    } finally {
      await engine.stop() // before its world ends, which takes it along
    }
  })
}

/** Lays `by` over a program of the world's host, and gives back where it is. */
async function replace(world: World, program: string, by: string): Promise<string> {
  const script = `path=$(readlink -f "${program}") && mount --bind ${by} "$path" && echo "$path"`
  const { code, stdout, stderr } = await world.host(['sh', '-c', script])
  assert.equal(code, 0, stderr)
  return stdout.trim()
}

/** What a trial could leave: files, cgroups, processes. */
function traces(world: World) {
  const cgroups = readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' })
  return {
    files: [tmpdir(), world.directory].flatMap(path => readdirSync(path)).filter(name => name.includes('clrk-doctor')),
    cgroups: cgroups.filter(path => path.includes('clrk-doctor')),
    processes: world.machine.processes().length,
  }
}
