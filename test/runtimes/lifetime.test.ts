/** How a sandbox begins, answers, ends, and what is left of it: nothing. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import test from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { commandInside } from '../../src/runtimes/bwrap-spec.ts'
import { planCgroup, readCgroupSources } from '../../src/runtimes/cgroup.ts'
import { createLocalRuntime } from '../../src/runtimes/local.ts'
import type { RunningSandbox } from '../../src/runtimes/runtime.ts'
import {
  NETNS,
  processesOf,
  readAll,
  readUntil,
  run,
  runtime,
  SCRATCH,
  STATE_ID,
  sh,
  specOf,
  startSandbox,
} from './sandboxes.ts'

for (const code of [0, 1, 42, 127, 255]) {
  test(`the exit code is the command's (${code})`, async t => {
    assert.deepEqual((await run(t, sh(`exit ${code}`))).exit, { code, signal: null })
  })
}

test('a signal that ends the command is told as one', async t => {
  assert.deepEqual((await run(t, sh('kill -USR1 $$'))).exit, { code: null, signal: 'SIGUSR1' })
})

test('a command that does not exist ends as in a shell', async t => {
  const { exit, stderr } = await run(t, ['no-such-command'])
  assert.deepEqual(exit, { code: 127, signal: null })
  assert.match(stderr, /no-such-command: not found/)
})

test('a signal reaches the whole process group of the agent', async t => {
  const sandbox = await startSandbox(
    t,
    specOf(
      sh(
        'trap "echo parent; wait; exit 3" TERM; sh -c "trap \\"echo child; exit\\" TERM; echo up; while :; do sleep 0.1; done" & wait',
      ),
    ),
  )
  await readUntil(sandbox.stdout, /up/)
  sandbox.signal('SIGTERM')
  const text = await readAll(sandbox.stdout)
  assert.deepEqual(
    [text.trim().split('\n').sort(), await sandbox.exited],
    [['child', 'parent'], { code: 3, signal: null }],
  )
})

test('the end of standard input arrives', async t => {
  const sandbox = await startSandbox(t, specOf(['/bin/cat']))
  sandbox.stdin.end('hello')
  assert.equal(await readAll(sandbox.stdout), 'hello')
})

test('a megabyte of output arrives whole', async t => {
  const { stdout, exit } = await run(t, sh('head -c 1048576 /dev/zero | tr "\\0" x; echo end >&2'))
  assert.equal(stdout.length, 1048576)
  assert.deepEqual(exit, { code: 0, signal: null })
})

test('a reader that leaves early is a broken pipe for the agent', async t => {
  const sandbox = await startSandbox(t, specOf(['/usr/bin/yes']))
  await once(sandbox.stdout, 'data')
  sandbox.stdout.destroy()
  assert.deepEqual(await sandbox.exited, { code: null, signal: 'SIGPIPE' })
})

test('an agent that closes its input early harms nobody', async t => {
  const sandbox = await startSandbox(t, specOf(sh('exec <&-; echo closed; sleep 0.2')))
  await readUntil(sandbox.stdout, /closed/)
  sandbox.stdin.write('x'.repeat(100_000))
  assert.deepEqual(await sandbox.exited, { code: 0, signal: null })
})

test('standard streams are pipes that the agent can open again by name', async t => {
  const { stdout, stderr } = await run(t, sh('echo out >/dev/stdout; echo err >/dev/stderr; stat -L -c %F /dev/stdin'))
  assert.deepEqual([stdout, stderr], ['out\nfifo\n', 'err\n'])
})

test('after the end nothing is left: no process, cgroup, staged file, mount or descriptor', async t => {
  await run(t, sh('true')) // the spare identity is made after the first start
  const before = await settledTraces()
  await run(t, sh('sleep 60 & sleep 60 & echo done'), { workspace: mkdtempSync(join(SCRATCH, 'workspace-')) })
  const stopped = await startSandbox(t, specOf(sh('trap "" TERM HUP; sleep 60')))
  process.kill(initOf(stopped), 'SIGKILL')
  assert.deepEqual(await stopped.exited, { code: null, signal: 'SIGKILL' })
  await stopped.stop()
  assert.deepEqual(await settledTraces(), before)
})

test('stop asks with SIGTERM first', async t => {
  const sandbox = await startSandbox(
    t,
    specOf(sh('trap "echo asked; exit 9" TERM; echo up; while :; do sleep 0.1; done')),
  )
  await readUntil(sandbox.stdout, /up/)
  await sandbox.stop()
  assert.deepEqual(await sandbox.exited, { code: 9, signal: null })
  assert.equal(await readAll(sandbox.stdout), 'asked\n')
  assert.equal(existsSync(cgroupOf(sandbox.id)), false)
})

test('stop kills what does not listen to SIGTERM', async t => {
  const sandbox = await startSandbox(t, specOf(sh('trap "" TERM; echo up; sleep 1000; echo survived')))
  await readUntil(sandbox.stdout, /up/)
  await sandbox.stop()
  assert.deepEqual([await sandbox.exited, await readAll(sandbox.stdout)], [{ code: null, signal: 'SIGKILL' }, ''])
})

test('a failed start names its step and leaves nothing behind', async () => {
  const before = await settledTraces()
  const attempts = [
    [
      { workingDirectory: '/no/such/place' },
      /building it with bubblewrap failed: bwrap: Can't chdir to \/no\/such\/place/,
    ],
    [{ readOnly: ['/no/such/tool'] }, /showing \/no\/such\/tool failed: there is no such file or directory/],
    [{ readOnly: ['/home'] }, /showing \/home failed: it would show more than a program/],
  ] as const
  for (const [change, message] of attempts) {
    await assert.rejects(runtime.start(specOf(['/bin/true'], change), NETNS), message)
  }
  await assert.rejects(runtime.start(specOf(['/bin/true']), { path: '/proc/self/fd/999' }), /nsenter: .*No such file/)
  assert.deepEqual(await settledTraces(), before)
})

test('twenty sandboxes at once are twenty, each under a uid of its own', async t => {
  const all = await Promise.all(Array.from({ length: 20 }, () => startSandbox(t, specOf(sh('echo up; read x')))))
  await Promise.all(all.map(sandbox => readUntil(sandbox.stdout, /up/)))
  const uids = all.map(({ id }) => processesOf(id).map(({ uid }) => uid)[0])
  assert.equal(new Set(uids).size, 20)
  await Promise.all(all.map(sandbox => sandbox.stop()))
})

test('memory beyond the limit is SIGKILL', async t => {
  const hungry = ['/usr/bin/python3', '-c', 'x = bytearray(200 << 20); print("got it")'] as const
  const { stdout, exit } = await run(t, hungry, { limits: { memoryBytes: 64 << 20, cpus: 1, pids: 50 } })
  assert.deepEqual([stdout, exit], ['', { code: null, signal: 'SIGKILL' }])
})

test('processes beyond the limit cannot be made', async t => {
  const script = 'i=0; while [ $i -lt 50 ]; do sleep 5 & i=$((i+1)); done; echo all'
  const { stdout, stderr } = await run(t, sh(script), { limits: { memoryBytes: 64 << 20, cpus: 1, pids: 10 } })
  assert.equal(stdout, '')
  assert.match(stderr, /Cannot fork/)
})

test('the processor share is what was asked for', async t => {
  const sandbox = await startSandbox(
    t,
    specOf(['/bin/cat'], { limits: { memoryBytes: 64 << 20, cpus: 0.25, pids: 10 } }),
  )
  const plan = planCgroup(readCgroupSources(), `clrk-${STATE_ID}-${sandbox.id}`, {
    memoryBytes: 0,
    cpus: 0.25,
    pids: 0,
  })
  for (const { path, value } of plan.writes) {
    if (path.includes('/cpu')) assert.equal(readFileSync(path, 'utf8').trim(), value)
  }
})

test('kill -9 of the worker ends its sandboxes, and the next one removes the rest', async t => {
  const program = `
    import { NETNS, runtime, specOf, STATE_ID, sh } from '${import.meta.dirname}/sandboxes.ts'
    const argv = sh('trap "" TERM HUP INT; setsid sleep 1000 & exec sleep 1000')
    await runtime.start(specOf(argv), NETNS)
    console.log(STATE_ID)`
  const worker = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => worker.kill('SIGKILL'))
  const stateId = (await readUntil(worker.stdout, /\n/)).trim()
  for (let tries = 0; tries < 500 && processesOf(stateId).length < 4; tries++) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  assert.ok(processesOf(stateId).length >= 4)
  worker.kill('SIGKILL')
  await once(worker, 'exit')
  for (let tries = 0; tries < 500 && processesOf(stateId).length > 0; tries++) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  assert.deepEqual(processesOf(stateId), [])
  assert.notDeepEqual(cgroupsOf(stateId), [])

  await createLocalRuntime({ stateId, state: '/nowhere', staging: stagingFor(stateId) }).sweep()
  assert.deepEqual(cgroupsOf(stateId), [])
})

test('an agent whose worker dies while it boots is never let go', async () => {
  const [program = '', ...args] = commandInside(specOf(['/bin/echo', 'let go']), 3)
  const gate = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] })
  const control = gate.stdio[3]
  assert.ok(control instanceof Readable)
  await once(control, 'data') // the gate waits
  control.destroy()
  assert.ok(gate.stdout)
  assert.equal(await readAll(gate.stdout), '')
  assert.deepEqual(gate.exitCode ?? (await once(gate, 'exit'))[0], 125)
})

test('a sweep kills what still runs, and only what its own state id names', async t => {
  const stateId = 'sweeptst'
  const other = createLocalRuntime({ stateId, state: '/nowhere', staging: stagingFor(stateId) })
  const theirs = await other.start(specOf(['/bin/sleep', '1000']), NETNS)
  const ours = await startSandbox(t, specOf(sh('echo up; read x; exit 5')))
  await readUntil(ours.stdout, /up/)
  await other.sweep()
  assert.deepEqual(await theirs.exited, { code: null, signal: 'SIGKILL' })
  await theirs.stop()
  ours.stdin.end('\n')
  assert.deepEqual(await ours.exited, { code: 5, signal: null })
})

/** Process 1 of a sandbox: the only one of its processes that is another's first child in a new pid namespace. */
function initOf(sandbox: RunningSandbox): number {
  for (const { pid } of processesOf(sandbox.id)) {
    if (/^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return pid
  }
  throw new Error('no process 1')
}

function cgroupOf(id: string): string {
  return planCgroup(readCgroupSources(), `clrk-${STATE_ID}-${id}`, { memoryBytes: 0, cpus: 1, pids: 0 }).directories[0]
}

/** Directories of a state id in every hierarchy of this worker. */
function cgroupsOf(stateId: string): readonly string[] {
  const { directories } = planCgroup(readCgroupSources(), 'x', { memoryBytes: 0, cpus: 1, pids: 0 })
  return directories.flatMap(path => readdirSync(join(path, '..')).filter(name => name.startsWith(`clrk-${stateId}-`)))
}

function stagingFor(stateId: string): string {
  const path = join(SCRATCH, stateId)
  mkdirSync(path)
  return path
}

/** What a sandbox could leave on the host. */
function traces() {
  return {
    processes: processesOf(STATE_ID).length,
    cgroups: cgroupsOf(STATE_ID),
    staged: readdirSync(join(SCRATCH, 'staging')),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length,
    descriptors: readdirSync('/proc/self/fd').length,
  }
}

/** Once they no longer change: the spare user namespace is made, every stream has seen its end. */
async function settledTraces() {
  for (let last = traces(); ; ) {
    await new Promise(resolve => setTimeout(resolve, 100))
    const now = traces()
    if (isDeepStrictEqual(now, last)) return now
    last = now
  }
}
