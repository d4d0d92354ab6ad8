/** A sandbox with a terminal: the agent's own, its controlling one, and nobody else's. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { processesOf, readAll, readUntil, sh, specOf, startSandbox } from './sandboxes.ts'

const terminal = { stdio: { kind: 'terminal', rows: 33, columns: 101 } } as const

test('the agent has a terminal of the asked size on all three streams, and it has a name', async t => {
  const script =
    'for i in 0 1 2; do test -t $i && echo yes; done; stty size; tty >/dev/null && echo named; echo x >/dev/tty'
  const sandbox = await startSandbox(t, specOf(sh(script), terminal))
  assert.equal(sandbox.stderr, null)
  assert.equal(await readAll(sandbox.stdout), 'yes\r\nyes\r\nyes\r\n33 101\r\nnamed\r\nx\r\n')
  assert.deepEqual(await sandbox.exited, { code: 0, signal: null })
})

test('the agent leads a session of its own whose foreground group it is, without the launcher', async t => {
  const script = 'import os; print(os.getsid(0) == os.getpid() == os.tcgetpgrp(0), os.getsid(1) != os.getsid(0))'
  const sandbox = await startSandbox(t, specOf(['/usr/bin/python3', '-c', script], terminal))
  assert.equal(await readAll(sandbox.stdout), 'True True\r\n')
})

test('a new size is told to the agent', async t => {
  const sandbox = await startSandbox(
    t,
    specOf(sh('trap "stty size; exit" WINCH; echo up; while :; do sleep 0.05; done'), terminal),
  )
  await readUntil(sandbox.stdout, /up/)
  sandbox.resize(50, 132)
  assert.match(await readAll(sandbox.stdout), /50 132/)
})

test('Ctrl-C interrupts the command in the foreground, the shell and the sandbox go on', async t => {
  const sandbox = await startSandbox(t, specOf(['/bin/bash', '--norc', '-i'], terminal))
  sandbox.stdin.write('PS1=ready:; sleep 1000\n')
  await readUntil(sandbox.stdout, /sleep 1000\r\n/)
  await untilForeground(sandbox.id, 'sleep')
  sandbox.stdin.write('\x03')
  sandbox.stdin.write('echo status-$?\n')
  await readUntil(sandbox.stdout, /status-130\r\n/)
  sandbox.stdin.write('exit 7\n')
  assert.deepEqual(await sandbox.exited, { code: 7, signal: null })
})

test('Ctrl-C at a plain command is SIGINT for it', async t => {
  const sandbox = await startSandbox(t, specOf(['/bin/sleep', '1000'], terminal))
  await untilForeground(sandbox.id, 'sleep')
  sandbox.stdin.write('\x03')
  assert.deepEqual(await sandbox.exited, { code: null, signal: 'SIGINT' })
})

test('job control works', async t => {
  const sandbox = await startSandbox(t, specOf(['/bin/bash', '--norc', '-i'], terminal))
  sandbox.stdin.end('sleep 1000 &\nfg\n\x1a\nkill %1; wait; echo all-$((20 + 3))\nexit 0\n')
  assert.match(await readAll(sandbox.stdout), /all-23/)
})

test('the end of input is the end-of-file character', async t => {
  const sandbox = await startSandbox(t, specOf(['/bin/cat'], terminal))
  sandbox.stdin.end('line\n')
  assert.match(await readAll(sandbox.stdout), /line\r\nline\r\n/)
  assert.deepEqual(await sandbox.exited, { code: 0, signal: null })
})

test('typing into the terminal from inside does nothing', async t => {
  const script = `
import fcntl, select, sys, termios
for request in (termios.TIOCSTI, 0x541c):
    try: fcntl.ioctl(0, request, b"\\n"); print("typed")
    except OSError as e: print(e.strerror)
print("pending", bool(select.select([0], [], [], 0)[0]))`
  const sandbox = await startSandbox(t, specOf(['/usr/bin/python3', '-c', script], terminal))
  assert.equal(await readAll(sandbox.stdout), 'Operation not permitted\r\nOperation not permitted\r\npending False\r\n')
})

test('a lot of output arrives whole after the agent is gone', async t => {
  const sandbox = await startSandbox(t, specOf(sh('head -c 300000 /dev/zero | tr "\\0" x'), terminal))
  await once(sandbox.stdout, 'readable')
  assert.equal((await readAll(sandbox.stdout)).length, 300_000)
})

/** Until a process of that name is in the foreground of its terminal: then it is the one that Ctrl-C meets. */
async function untilForeground(id: string, name: string): Promise<void> {
  for (;;) {
    const stats = processesOf(id).flatMap(({ pid }) => {
      try {
        return [readFileSync(`/proc/${pid}/stat`, 'utf8')]
      } catch {
        return [] // gone meanwhile
      }
    })
    const found = stats.some(stat => {
      const [, , , , group, , , foreground] = stat
        .replace(/\((.*)\)/, (_, it: string) => it.replaceAll(' ', '_'))
        .split(' ')
      return stat.includes(`(${name})`) && group === foreground
    })
    if (found) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
