/** Agents in containers of a real engine: what they are given, what they may, and how they end. */
import assert from 'node:assert/strict'
import { chownSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isClrkError } from '../../src/errors.ts'
import { busybox, importImage, isPodman } from '../world/engine.ts'
import {
  connect,
  engine,
  PROBE,
  readAll,
  readUntil,
  run,
  runtime,
  STATE_ID,
  sh,
  specOf,
  startSandbox,
} from './containers.ts'

const OVER = { code: 0, signal: null, reason: null } as const

test('streams are apart, the input ends where the caller ends it, and the status comes back', async t => {
  const spec = specOf(sh('cat; echo error >&2; exit 7'))
  const sandbox = await startSandbox(t, spec)
  sandbox.stdin.end('hello\n')
  assert.ok(sandbox.stderr)
  assert.equal(await readAll(sandbox.stdout), 'hello\n')
  assert.equal(await readAll(sandbox.stderr), 'error\n')
  assert.deepEqual(await sandbox.exited, { code: 7, signal: null, reason: null })
})

test('a megabyte comes through whole, to a reader that is slow to begin', async t => {
  const sandbox = await startSandbox(t, specOf(sh('yes 0123456789abcde | head -c 1048576')))
  await sleep(300)
  assert.equal((await readAll(sandbox.stdout)).length, 2 ** 20)
})

test('the end of an agent that ends at once is not missed', async () => {
  for (let round = 0; round < 3; round++) assert.deepEqual((await run(['/bin/true'])).exit, OVER)
})

test('an agent that closes its output and goes on is not over', async t => {
  const sandbox = await startSandbox(t, specOf(sh('exec >&- 2>&-; read line; exit 3')))
  sandbox.stdin.end('go\n')
  assert.equal(await readAll(sandbox.stdout), '')
  assert.deepEqual(await sandbox.exited, { code: 3, signal: null, reason: null })
})

test("ENTRYPOINT, CMD, ENV, USER and WORKDIR hold until the agent's own are over them", async () => {
  await importImage(engine, 'localhost/words:latest', { ...busybox(), 'srv/': 'directory' }, [
    'ENTRYPOINT ["/bin/sh", "-c", "echo $A $B $SSL_CERT_FILE $(id -u):$(id -g) $(pwd) $0 $*"]',
    'CMD ["image"]',
    ...['ENV A=image', 'ENV B=image', 'ENV SSL_CERT_FILE=image'],
    'USER worker:others',
    'WORKDIR /srv',
  ])
  const image = await runtime.image('localhost/words:latest', () => {})
  const said = async (change: Parameters<typeof run>[1]) => (await run([], { image, ...change })).stdout
  assert.equal(await said({}), 'image image image 1234:4321 /srv image\n')
  const trust = { binds: [], environment: { SSL_CERT_FILE: 'trust' } }
  assert.equal(
    await said({ args: ['x', 'y'], environment: { A: 'agent', SSL_CERT_FILE: 'agent' }, trust }),
    'agent image trust 1234:4321 /srv x y\n',
  )
  const { stdout } = await run(['/bin/echo', 'only this'], { image, user: { uid: 7, gid: 8 }, workingDirectory: '/' })
  assert.equal(stdout, 'only this\n')
})

test('an image without a shell or a C library runs', async () => {
  await importImage(engine, 'localhost/bare:latest', { probe: PROBE }, ['ENTRYPOINT ["/probe"]', 'CMD ["calls"]'])
  const { stdout, exit } = await run([], { image: await runtime.image('localhost/bare:latest', () => {}) })
  assert.match(stdout, /^socket-inet ok$/m)
  assert.deepEqual(exit, OVER)
})

test('a program that is missing or no program says so', async () => {
  const missing = await run(['nothing-of-the-kind'])
  assert.equal(missing.stderr, 'clrk: cannot run nothing-of-the-kind: No such file or directory\n')
  assert.equal(missing.exit.code, 127)
  assert.equal((await run(['/etc/passwd'])).exit.code, 126)
})

test('an image with nothing to run is refused', async () => {
  await assert.rejects(run([]), /busybox:latest: it has neither ENTRYPOINT nor CMD, so there is nothing to run/)
})

test('an agent has no capability and cannot get one', async () => {
  const { stdout } = await run(sh('grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status'))
  const found = stdout.trim().split('\n')
  assert.deepEqual(
    found.map(line => line.split(/:\s+/)),
    [
      ...['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(name => [name, '0000000000000000']),
      ['NoNewPrivs', '1'],
      ['Seccomp', '2'],
    ],
  )
})

test('what could leave the sandbox is refused, with the answers of the local runtime', async () => {
  const { stdout } = await run(['/probe', 'calls'])
  const answers = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map(line => line.split(' ')),
  )
  for (const [call, answer] of Object.entries({
    'socket-vsock': 'EAFNOSUPPORT',
    'socket-vsock-high-bits': 'EAFNOSUPPORT',
    'socket-packet': 'EAFNOSUPPORT',
    'socketpair-vsock': 'EAFNOSUPPORT',
    'socket-unix': 'ok',
    'socket-unix-high-bits': 'ok',
    'socket-inet': 'ok',
    'socket-inet6': 'ok',
    'socket-netlink': 'ok',
    io_uring_setup: 'EPERM',
    keyctl: 'EPERM',
    'clone-user': 'EPERM',
    'unshare-net': 'EPERM',
    setns: 'EPERM',
    clone3: 'ENOSYS',
    openat2: 'ENOSYS',
    unknown: 'ENOSYS',
    bpf: 'EPERM',
    'personality-randomize': 'EPERM',
    'personality-ask': 'ok',
    tiocsti: 'EPERM',
    'tiocsti-high-bits': 'EPERM',
    tioclinux: 'EPERM',
    'tioclinux-high-bits': 'EPERM',
  })) {
    assert.equal(answers[call], answer, call)
  }
})

for (const abi of process.arch === 'x64' ? ['int80', 'x32'] : []) {
  test(`a call by another ABI is the end of the process (${abi})`, async () => {
    const { stdout, exit } = await run(['/probe', abi])
    assert.deepEqual({ stdout, exit }, { stdout: '', exit: { code: null, signal: 'SIGSYS', reason: null } })
  })
}

test('too much memory, too many processes', async () => {
  const limits = { memoryBytes: 16 * 2 ** 20, cpus: 1, pids: 20 }
  const { exit } = await run(sh('tail /dev/zero'), { limits })
  // Podman 4 does not tell where the kernel kills a child of process 1.
  assert.deepEqual(exit, { code: null, signal: 'SIGKILL', reason: isPodman ? null : 'out-of-memory' })
  const { stderr } = await run(sh('for i in 1 2 3 4 5 6 7 8 9; do sleep 9 & done'), { limits: { ...limits, pids: 5 } })
  assert.match(stderr, /can't fork/)
})

test('a read-only root is read-only, and still has places for temporary files', async () => {
  const { stdout, stderr } = await run(sh('touch /tmp/a /var/tmp/a && echo fine; touch /x'), { readOnlyRoot: true })
  assert.equal(stdout, 'fine\n')
  assert.match(stderr, /\/x: Read-only file system/)
})

test('a signal reaches the whole group, and orphans are reaped', async t => {
  const sandbox = await startSandbox(
    t,
    specOf(sh('(sleep 0 & exec sleep 0 &); trap "echo caught; exit 5" TERM; echo up; while :; do sleep 0.1; done')),
  )
  await readUntil(sandbox.stdout, /up/)
  sandbox.signal('SIGTERM')
  assert.equal(await readAll(sandbox.stdout), 'caught\n')
  assert.equal((await sandbox.exited).code, 5)
  const { stdout } = await run(sh('(sleep 0.1 &); sleep 0.3; ps'))
  assert.doesNotMatch(stdout, /\bZ\b|\[sleep\]/)
})

test('an agent that does not listen to signals is killed after the grace', async t => {
  const sandbox = await startSandbox(t, specOf(sh('trap "" TERM; echo up; while :; do sleep 1; done')))
  await readUntil(sandbox.stdout, /up/)
  await sandbox.stop()
  assert.deepEqual(await sandbox.exited, { code: null, signal: 'SIGKILL', reason: null })
})

test('a terminal has its size, gets new ones, and its keys work', async t => {
  const resized = 'until stty size | grep "44 122"; do sleep 0.1; done'
  const spec = specOf(sh(`tty; stty size; echo ready; ${resized}; read a; echo got $a; cat; echo end`), {
    stdio: { kind: 'terminal', rows: 33, columns: 111 },
  })
  const sandbox = await startSandbox(t, spec)
  assert.equal(sandbox.stderr, null)
  assert.match(await readUntil(sandbox.stdout, /ready/), /^\/dev\/.*\r\n33 111\r\n/)
  sandbox.resize(44, 122)
  await readUntil(sandbox.stdout, /44 122/)
  sandbox.stdin.write('word\n')
  await readUntil(sandbox.stdout, /got word/)
  sandbox.stdin.end()
  await readUntil(sandbox.stdout, /end/)
  assert.deepEqual(await sandbox.exited, OVER)
})

test('the workspace is written to as its owner, without set-user-ID files', async () => {
  const workspace = join(engine.scratch, 'workspace')
  mkdirSync(workspace)
  chownSync(workspace, 4242, 4243)
  const { stdout, stderr, exit } = await run(sh('id -u; id -g; echo text >file && /probe sbits'), {
    workspace,
    workingDirectory: workspace,
  })
  assert.deepEqual(exit, OVER, stderr)
  assert.match(stdout, /^4242\n4243\n/)
  const { uid, gid } = statSync(join(workspace, 'file'))
  assert.deepEqual({ uid, gid }, { uid: 4242, gid: 4243 })
  assert.equal(statSync(join(workspace, 'plain')).mode & 0o6000, 0)
  assert.match(stdout, /^chmod EPERM$/m)

  const sandbox = run(['/bin/true'], { workspace, user: { uid: 5, gid: 5 } })
  await assert.rejects(sandbox, /it belongs to uid 4242, and the agent would run as 5/)
  for (const system of ['/', '/etc', '/var/lib/docker', '/home/somebody']) {
    const refused = run(['/bin/true'], { workspace: system })
    await assert.rejects(refused, error => isClrkError(error) && error.fault.code === 'CLRK_SANDBOX_FAILED')
  }
})

test("a directory inside another running agent's workspace is refused", async t => {
  const outer = join(engine.scratch, 'outer')
  mkdirSync(join(outer, 'inner'), { recursive: true })
  await startSandbox(t, specOf(sh('sleep 100'), { workspace: outer }))
  await assert.rejects(run(['/bin/true'], { workspace: join(outer, 'inner') }), /which another agent writes to/)
})

test("an adopted agent's workspace is known as one, whatever volumes its image has", async t => {
  const outer = join(engine.scratch, 'adopted')
  mkdirSync(join(outer, 'inner'), { recursive: true })
  const volumes = ['/aa', '/bb', '/cc', '/dd', '/ee', '/ff'] // engines tell them in any order
  await importImage(engine, 'localhost/volumes:latest', busybox(), [`VOLUME ${JSON.stringify(volumes)}`])
  const image = await runtime.image('localhost/volumes:latest', () => {})
  const spec = specOf(sh('sleep 60'), { image, workspace: outer })
  await startSandbox(t, spec)
  const next = await connect(STATE_ID)
  const found = (await next.list()).find(({ sandbox }) => sandbox === spec.id)
  assert.ok(found)
  const adopted = await next.adopt(found)
  const pod = await next.prepare('inner', { labels: {} })
  const within = specOf(['/bin/true'], { id: 'inner', workspace: join(outer, 'inner') })
  await assert.rejects(next.start(within, pod), /which another agent writes to/)
  await pod.release()
  await adopted.stop()
})

test('twenty at once boot, work and vanish', async () => {
  const exits = await Promise.all(
    Array.from({ length: 20 }, (_, status) => run(sh(`exit ${status}`)).then(({ exit }) => exit.code)),
  )
  assert.deepEqual(
    exits,
    Array.from({ length: 20 }, (_, status) => status),
  )
  assert.deepEqual(await engine.docker.listContainers({ all: true }), [])
})
