import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { serveForTest } from '../api/control.ts'

const LAUNCHER = new URL('../../src/clrk', import.meta.url).pathname

/** `clrk run` against a control server of this test, whose runs are plain child processes. */
function clrkRun(state: string, ...argv: string[]): ChildProcessWithoutNullStreams {
  return spawn('sh', [LAUNCHER, 'run', '--state', state, ...argv], { stdio: 'pipe' })
}

async function result(child: ChildProcessWithoutNullStreams) {
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const [code, signal] = await once(child, 'exit')
  const [out, err] = await output
  return { code, signal, out, err }
}

test('streams go through raw and apart, the exit status comes back', async t => {
  const { state } = await serveForTest(t)
  const child = clrkRun(state, '--', 'sh', '-c', 'cat; printf "\\0e" >&2; exit 42')
  child.stdin.end(Buffer.from([0, 255, 10]))
  const output = Buffer.concat(await child.stdout.toArray())
  const error = Buffer.concat(await child.stderr.toArray())
  const code = child.exitCode ?? (await once(child, 'exit'))[0]
  assert.deepEqual([[...output], error.toString('latin1'), code], [[0, 255, 10], '\0e', 42])
})

test('a death by signal is ours as well', async t => {
  const { state } = await serveForTest(t)
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGPIPE', 'SIGUSR1']) {
    const child = clrkRun(state, '--', 'sh', '-c', `kill -${signal.slice(3)} $$`)
    assert.deepEqual(await result(child), { code: null, signal, out: '', err: '' })
  }
})

test('signals reach the program', async t => {
  const { state } = await serveForTest(t)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
    const script = `trap "echo got ${signal}; exit 5" ${signal.slice(3)}; echo ready; while :; do sleep 0.02; done`
    const child = clrkRun(state, '--', 'sh', '-c', script)
    const done = result(child)
    await once(child.stdout, 'data')
    child.kill(signal)
    const { code, out } = await done
    assert.deepEqual([code, out.split('\n').at(-2)], [5, `got ${signal}`])
  }
})

test('a full pipe holds nobody up: the signal still ends the program and us', async t => {
  const { state } = await serveForTest(t)
  const child = clrkRun(state, '--', 'yes')
  await once(child.stdout, 'readable')
  child.kill('SIGTERM')
  const [code, signal] = await once(child, 'exit')
  assert.deepEqual([code, signal], [null, 'SIGTERM'])
  child.stdout.destroy()
})

test('a reader that goes away ends the run quietly', async t => {
  const { state } = await serveForTest(t)
  const shell = spawn('sh', ['-c', `"${LAUNCHER}" run --state "${state}" -- sh -c "yes 2>/dev/null" | head -n 2`])
  assert.deepEqual(await result(shell), { code: 0, signal: null, out: 'y\ny\n', err: '' })
})

test('--json prints the record as the last line', async t => {
  const { state } = await serveForTest(t)
  const child = clrkRun(state, '--json', '--', 'echo', 'hello')
  child.stdin.end()
  const { out, code } = await result(child)
  const [first, record] = out.trim().split('\n')
  assert.equal(code, 0)
  assert.equal(first, 'hello')
  assert.deepEqual(JSON.parse(record ?? '').command, ['echo', 'hello'])
})

test('the worker’s refusal is one line with what to do', async t => {
  const { state } = await serveForTest(t)
  const child = clrkRun(state, '--', 'refused')
  const { code, out, err } = await result(child)
  assert.deepEqual([code, out], [1, ''])
  assert.equal(err, 'clrk: the sandbox could not be started: bwrap failed: no. Install it.\n')
})

test('a worker that goes away is one line, exit status 1', async t => {
  const { state, server } = await serveForTest(t)
  const child = clrkRun(state, '--', 'sh', '-c', 'echo ready; sleep 60')
  const done = result(child)
  await once(child.stdout, 'data')
  await server.close()
  const { code, err } = await done
  assert.equal(code, 1)
  assert.match(err, /^clrk: the worker is gone: .*\n$/)
})

for (const [ending, status] of [
  ['exit 3', 3],
  ['kill $$', 143],
] as const) {
  test(`a terminal is raw while the program runs, and as before after its ${ending}`, async t => {
    const { state, control } = await serveForTest(t)
    const script = `tty; "${LAUNCHER}" run --state "${state}" -- sh -c 'head -c 1; ${ending}'; echo "status $?"; stty -a`
    const terminal = spawn('script', ['-qec', `stty cols 101 rows 33; ${script}`, '/dev/null'], { stdio: 'pipe' })
    const done = result(terminal)
    const [first] = await once(terminal.stdout, 'data')
    const device = String(first).trim()
    const settings = () => execFileSync('stty', ['-a', '-F', device], { encoding: 'utf8' })
    while (!settings().includes('-icanon')) await setImmediate()
    terminal.stdin.write('\x03') // Ctrl-C is a byte for the program's own terminal here, no signal for us
    const { out } = await done
    assert.match(out, new RegExp(`\\x03.*status ${status}.* icanon`, 's'))
    const [request] = control.calls
    assert.ok(request !== undefined && 'stdio' in request)
    assert.deepEqual(request.stdio, { kind: 'terminal', rows: 33, columns: 101 })
  })
}

test('without a terminal on stdout there are pipes', async t => {
  const { state, control } = await serveForTest(t)
  const terminal = spawn('script', ['-qec', `"${LAUNCHER}" run --state "${state}" -- true | cat`, '/dev/null'])
  await result(terminal)
  const [request] = control.calls
  assert.equal(request !== undefined && 'stdio' in request && request.stdio.kind, 'pipes')
})
