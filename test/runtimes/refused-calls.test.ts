/** The seccomp profile, asked by a program in a real sandbox. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { run, SCRATCH } from './sandboxes.ts'

const directory = join(SCRATCH, 'probe')
mkdirSync(directory)
const probe = join(directory, 'probe')
execFileSync('gcc', ['-o', probe, join(import.meta.dirname, 'seccomp.c')])

test('what could leave the sandbox is refused, with the answer that programs have a way around', async t => {
  const { stdout } = await run(t, [probe, 'calls'], { readOnly: [directory] })
  assert.deepEqual(
    Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map(line => line.split(' ')),
    ),
    {
      'socket-vsock': 'EAFNOSUPPORT',
      'socket-vsock-high-bits': 'EAFNOSUPPORT',
      'socket-packet': 'EAFNOSUPPORT',
      'socket-alg': 'EAFNOSUPPORT',
      'socketpair-vsock': 'EAFNOSUPPORT',
      'socket-unix': 'ok',
      'socket-unix-high-bits': 'ok',
      'socket-inet': 'ok',
      'socket-inet6': 'ok',
      'socket-netlink': 'ok',
      io_uring_setup: 'EPERM',
      keyctl: 'EPERM',
      add_key: 'EPERM',
      request_key: 'EPERM',
      'unshare-user': 'EPERM',
      'unshare-net': 'EPERM',
      'clone-user': 'EPERM',
      setns: 'EPERM',
      clone3: 'ENOSYS',
      openat2: 'ENOSYS',
      fchmodat2: 'ENOSYS',
      mseal: 'ENOSYS',
      unknown: 'ENOSYS',
      mount: 'EPERM',
      open_tree: 'EPERM',
      bpf: 'EPERM',
      perf_event_open: 'EPERM',
      userfaultfd: 'EPERM',
      'personality-randomize': 'EPERM',
      'personality-ask': 'ok',
      tiocsti: 'EPERM', // on a pipe it would be ENOTTY
      'tiocsti-high-bits': 'EPERM',
      tioclinux: 'EPERM',
      'tioclinux-high-bits': 'EPERM',
    },
  )
})

for (const abi of process.arch === 'x64' ? ['int80', 'x32'] : []) {
  test(`a call by another ABI is the end of the process (${abi})`, async t => {
    const { stdout, exit } = await run(t, [probe, abi], { readOnly: [directory] })
    assert.deepEqual({ stdout, exit }, { stdout: '', exit: { code: null, signal: 'SIGSYS' } })
  })
}

const PROGRAMS: Readonly<Record<string, string>> = {
  bash: 'bash -c "diff <(echo x) <(echo x) && echo ok"',
  python: `/usr/bin/python3 -c "
import threading, subprocess, asyncio, multiprocessing
t = threading.Thread(target=lambda: subprocess.run(['true'], check=True)); t.start(); t.join()
async def main(): return (await asyncio.create_subprocess_exec('true')).returncode
asyncio.run(main()); multiprocessing.Lock(); print('ok')"`,
  'node, with worker threads': `node -e "
const { Worker } = require('worker_threads')
new Worker('require(\\"fs\\").promises.stat(\\"/etc\\").then(() => console.log(\\"ok\\"))', { eval: true })"`,
  git: 'git init -q r && cd r && echo x >f && git add f && git -c user.name=a -c user.email=a@b commit -qm x && echo ok',
  java: 'java -version 2>&1 | grep -q OpenJDK && echo ok',
  gcc: 'printf "%s\\n" "#include <stdio.h>" "int main(){puts(\\"ok\\");}" >h.c && gcc h.c -o h && ./h',
  go: 'mkdir g && cd g && printf "%s\\n" "module g" >go.mod && printf "%s\\n" "package main" "func main(){println(\\"ok\\")}" >g.go && go run . 2>&1',
  tar: 'mkdir d && echo ok >d/f && tar cf d.tar d && rm -r d && tar xf d.tar && cat d/f',
}

for (const [name, script] of Object.entries(PROGRAMS)) {
  test(`ordinary programs do not notice the profile (${name})`, async t => {
    const { stdout, stderr, exit } = await run(t, ['/bin/sh', '-c', script], {
      environment: { PATH: '/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin', HOME: '/home/caller' },
      limits: { memoryBytes: 1024 * 1024 * 1024, cpus: 2, pids: 400 },
    })
    assert.deepEqual({ stdout, exit }, { stdout: 'ok\n', exit: { code: 0, signal: null } }, stderr)
  })
}
