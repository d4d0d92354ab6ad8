/** What an agent finds inside, and what it does not. Every assertion is made by a process in a real sandbox. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { processesOf, readAll, run, SCRATCH, sh, specOf, startSandbox } from './sandboxes.ts'

test('of the host only the system directories are there, and they are read-only', async t => {
  const { stdout } = await run(t, sh('ls -A /; ls -A /home /run /tmp /var /var/tmp /dev/shm'))
  const [root = '', ...others] = stdout.split('/dev/shm:\n')
  assert.deepEqual(others, ['\n/home:\ncaller\n\n/run:\n\n/tmp:\n\n/var:\nrun\ntmp\n\n/var/tmp:\n'])
  const allowed = /^(bin|dev|etc|home|lib\w*|opt|proc|run|sbin|tmp|usr|var)$/
  assert.deepEqual(
    root
      .trim()
      .split('\n')
      .filter(name => !allowed.test(name)),
    [],
  )

  const writes = await run(
    t,
    sh('for d in / /usr /etc /opt /bin /usr/local/bin /proc/sys/kernel /dev; do touch $d/x; done'),
  )
  assert.equal(writes.stderr.match(/Read-only file system|No such file|Permission denied/g)?.length, 8, writes.stderr)
})

test('the home is private, empty and writable, and so are /tmp, /var/tmp, /run and /dev/shm', async t => {
  const { stdout, stderr } = await run(
    t,
    sh('for d in ~ /tmp /var/tmp /run /dev/shm; do echo x >$d/f && stat -c "%U %a" $d/f; done'),
  )
  assert.equal(stderr, '')
  assert.equal(stdout, 'agent 644\n'.repeat(5))
})

test('uid 0 inside is an unprivileged uid outside, without capabilities', async t => {
  const { stdout } = await run(
    t,
    sh(
      'id -u; cat /proc/self/uid_map; grep -E "^(Cap|NoNewPrivs)" /proc/self/status; cat /etc/shadow; echo x >/proc/sys/kernel/core_pattern',
    ),
    { user: { uid: 0, gid: 0 } },
  )
  assert.match(stdout, /^0\n +0 +0 +1\n/)
  assert.deepEqual(
    [...stdout.matchAll(/Cap\w+:\t(\w+)/g)].map(([, bits]) => Number(`0x${bits}`)),
    [0, 0, 0, 0, 0],
  )
  assert.match(stdout, /NoNewPrivs:\t1/)
  assert.doesNotMatch(stdout, /root:/)
})

test('on the host the agent has a uid of its own range, from 0x70000000 up', async t => {
  const sandbox = await startSandbox(t, specOf(sh('echo up; read x')))
  await once(sandbox.stdout, 'data')
  const own = processesOf(sandbox.id)
  assert.ok(own.length >= 2)
  for (const { uid } of own) assert.ok(uid >= 0x70000000 && uid % 0x10000 === 0, String(uid))
})

test('names and addresses: own host name, our name server, files before DNS', async t => {
  const spec = specOf(
    sh(
      'hostname; cat /etc/hostname /etc/resolv.conf; grep ^hosts: /etc/nsswitch.conf; getent hosts $(hostname) localhost; id -un; id -gn; echo ~agent',
    ),
  )
  const { stdout } = await run(t, spec.argv, { id: 'named' })
  assert.match(
    stdout,
    /^named\nnamed\nnameserver 198\.18\.0\.53\nhosts: files dns\n127\.0\.0\.1 +named\n::1 +localhost.*\nagent\nagent\n\/home\/caller\n$/,
  )
})

test("the agent's own name wins over a host account with the same uid", async t => {
  const { stdout } = await run(t, sh('id -un; getent passwd 1 root | cut -d: -f1'), { user: { uid: 1, gid: 1 } })
  assert.equal(stdout, 'agent\nagent\nroot\n')
})

test("nothing of the worker's environment or arguments is inherited, and the launcher carries none of the agent's", async t => {
  process.env.CLRK_TEST_CANARY = 'sk-canary'
  const { stdout } = await run(t, sh('env; echo ==; cat /proc/1/environ /proc/1/cmdline'), {
    environment: { PATH: '/usr/bin:/bin', GIVEN: 'to-the-agent' },
  })
  delete process.env.CLRK_TEST_CANARY
  const [own = '', launcher = ''] = stdout.split('==\n')
  assert.deepEqual(own.trim().split('\n').sort(), ['GIVEN=to-the-agent', 'PATH=/usr/bin:/bin', 'PWD=/home/caller'])
  assert.match(launcher, /bwrap/)
  assert.doesNotMatch(launcher, /sk-canary|to-the-agent/)
})

test('a worker that was itself started with strange descriptors passes none of them on', async () => {
  const program = `
    import { NETNS, runtime, specOf, readAll } from '${import.meta.dirname}/sandboxes.ts'
    const sandbox = await runtime.start(specOf(['/bin/ls', '-1', '/proc/self/fd']), NETNS)
    process.stdout.write(await readAll(sandbox.stdout)); await sandbox.stop()`
  // 251 is past what libuv closes by itself: it stops at the first number above 15 that is free.
  const script = 'exec 9</etc/hostname 251</etc/hostname; exec "$0" --input-type=module -e "$1"'
  const child = spawn('/bin/bash', ['-c', script, process.execPath, program], { stdio: ['ignore', 'pipe', 'inherit'] })
  assert.equal(await readAll(child.stdout), '0\n1\n2\n3\n')
})

test('the kernel-wide files of /proc are hidden, and shared memory of the host as well', async t => {
  const id = /\d+/.exec(execFileSync('ipcmk', ['--shmem', '4096'], { encoding: 'utf8' }))?.[0] ?? ''
  t.after(() => execFileSync('ipcrm', ['--shmem-id', id]))
  const hidden = [
    '/proc/keys',
    '/proc/key-users',
    '/proc/cmdline',
    '/proc/timer_list',
    '/proc/interrupts',
    '/proc/acpi',
  ]
  const { stdout } = await run(t, sh(`cat ${hidden.join(' ')}; ls -A /proc/acpi; tail -n +2 /proc/sysvipc/shm`))
  assert.equal(stdout, '')
  assert.ok(hidden.some(path => path !== '/proc/acpi' && readFileSync(path).length > 0)) // on the host they speak
})

test('only the processes of the sandbox are there', async t => {
  const { stdout } = await run(t, sh('ls -d /proc/[0-9]*'))
  assert.match(stdout, /^\/proc\/1\n\/proc\/2\n(\/proc\/\d\n)?$/)
})

test('a host unix socket is not there, neither by path nor by abstract name', async t => {
  const path = join(SCRATCH, 'host.sock')
  for (const name of [path, `\0clrk-test-${process.pid}`]) {
    const server = createServer(connection => connection.end('reached')).listen(name)
    await once(server, 'listening')
    t.after(() => server.close())
  }
  chmodSync(path, 0o777)
  const script = `
import socket
for name in (${JSON.stringify(path)}, "\\0clrk-test-${process.pid}"):
    s = socket.socket(socket.AF_UNIX)
    try: s.connect(name); print(s.recv(9))
    except OSError as e: print(e.strerror)`
  const { stdout } = await run(t, ['/usr/bin/python3', '-c', script])
  assert.equal(stdout, 'No such file or directory\nConnection refused\n')
})

test('trust files below a directory that only root can enter are there, over files and over directories', async t => {
  const closed = join(SCRATCH, 'closed')
  mkdirSync(join(closed, 'certs'), { recursive: true })
  chmodSync(closed, 0o700)
  writeFileSync(join(closed, 'ca.pem'), 'CA\n')
  writeFileSync(join(closed, 'certs/0.0'), 'HASH\n')
  const trust = {
    binds: [
      { source: join(closed, 'ca.pem'), target: '/clrk/ca.pem' },
      { source: join(closed, 'certs'), target: '/etc/ssl/certs' },
    ],
    environment: { NODE_EXTRA_CA_CERTS: '/clrk/ca.pem' },
  }
  const { stdout, stderr } = await run(
    t,
    sh('cat $NODE_EXTRA_CA_CERTS; ls /etc/ssl/certs; cat /etc/ssl/certs/0.0; echo x >/clrk/ca.pem'),
    { trust },
  )
  assert.equal(stdout, 'CA\n0.0\nHASH\n')
  assert.match(stderr, /Read-only file system/)
})

test('a program below a directory that only root can enter runs, its credentials stay hidden', async t => {
  const home = join(SCRATCH, 'locked-home')
  const tool = join(home, 'tool')
  mkdirSync(tool, { recursive: true })
  chmodSync(home, 0o700)
  writeFileSync(join(tool, 'run'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
  writeFileSync(join(tool, '.env'), 'KEY=sk-canary\n')
  symlinkSync('tool', join(home, 'current'))
  const { stdout } = await run(t, sh(`${home}/current/run; cat ${tool}/.env; ls ${home}`), {
    home,
    workingDirectory: home,
    readOnly: [join(home, 'current')],
  })
  assert.equal(stdout, 'ran\ncurrent\ntool\n')
})
