/** A command behaves under `clrk run` as if it had been started directly. */
import assert from 'node:assert/strict'
import { clrkRecord, clrkRun, runArguments, spawnClrkRun, startWorker } from '../world/clrk.ts'
import { mainJob } from '../world/manifests.ts'
import { ALL_PLACES, testEverywhere } from '../world/runtimes.ts'

const places = ALL_PLACES
testEverywhere('streams, exit codes, signals and terminal are the command’s own', { places }, async (world, t) => {
  await startWorker(world, [])

  for (const [what, argv, expected] of [
    ['success', ['true'], 0],
    ['an exit code', ['sh', '-c', 'exit 7'], 7],
    ['the highest exit code', ['sh', '-c', 'exit 255'], 255],
    ['death by a signal', ['sh', '-c', 'kill -TERM $$'], 143],
    ['no such program', ['/no/such/program'], 127],
    ['a file that is no program', ['/etc/hostname'], 126],
  ] as const) {
    await t.test(`${what}: a shell sees ${expected}`, async () => {
      const run = runArguments(world, argv)
      const { stdout, stderr } = await world.host(['sh', '-c', '"$@"; echo "status $?"', 'sh', ...run])
      assert.match(stdout, new RegExp(`status ${expected}\n$`), stderr)
    })
  }

  await t.test('a pipe: input to its end, both outputs apart, byte for byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => 32 + (at % 90))).toString('latin1')
    const { stdout, stderr, code } = await clrkRun(world, ['sh', '-c', 'cat; echo to stderr >&2'], { input: bytes })
    assert.equal(code, 0)
    assert.ok(stdout === bytes, `${stdout.length} of ${bytes.length} bytes`)
    assert.equal(stderr, 'to stderr\n')
  })

  await t.test('empty input is an end, at once', async () => {
    assert.equal((await clrkRun(world, ['wc', '-c'])).stdout.trim(), '0')
  })

  await t.test('a reader that goes away ends a writer', async () => {
    const run = runArguments(world, ['yes']).join(' ')
    const { stdout, code } = await world.host(['bash', '-c', `${run} | head -n 2`])
    assert.deepEqual({ stdout, code }, { stdout: 'y\ny\n', code: 0 })
  })

  await t.test('SIGTERM, SIGHUP and SIGUSR1 arrive', async () => {
    const script =
      'trap "echo usr1" USR1; trap "echo hup" HUP; trap "echo term; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
    const running = spawnClrkRun(world, ['sh', '-c', script], { input: 'open' })
    await running.saw(/ready/)
    for (const [signal, word] of [
      ['SIGUSR1', 'usr1'],
      ['SIGHUP', 'hup'],
      ['SIGTERM', 'term'],
    ] as const) {
      running.kill(signal)
      await running.saw(new RegExp(word))
    }
    assert.equal((await running.exited).code, 5)
  })

  await t.test('in a terminal: it has one of the same size, and Ctrl-C interrupts it', async () => {
    const script =
      'test -t 0 && test -t 1 && test -t 2 && stty size; trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.05; done'
    const run = runArguments(world, ['sh', '-c', script])
    const { stdout, code, stderr } = await world.host(['python3', '-c', TERMINAL, ...run])
    assert.match(stdout, /33 99\r\nready\r\n(\^C)?interrupted\r\n$/, stderr)
    assert.equal(code, 3)
  })

  await t.test('--json adds the record as the last line', async () => {
    const { stdout, record } = await clrkRecord(world, ['sh', '-c', 'echo said; exit 4'], {
      allow: ['echo.example.com'],
    })
    assert.equal(stdout, 'said\n')
    assert.equal(record.runtime, world.image === null ? 'local' : 'docker')
    assert.deepEqual([record.exit.code, record.exit.signal], [4, null])
    assert.deepEqual(record.command, ['sh', '-c', 'echo said; exit 4'])
  })
})

testEverywhere('a real key exported in the caller’s shell is not in the sandbox', async world => {
  const env = {
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    HOME: `${world.directory}/home`,
    LANG: 'C.UTF-8',
    TERM: 'xterm',
    ANTHROPIC_API_KEY: world.key,
    ANTHROPIC_AUTH_TOKEN: world.key,
    OPENAI_API_KEY: world.key,
    AWS_SECRET_ACCESS_KEY: world.key,
    GITHUB_TOKEN: world.key,
    SOMETHING_ELSE: world.key,
    HTTPS_PROXY: 'http://proxy.example.com:3128',
    LD_PRELOAD: '',
    NODE_OPTIONS: '--no-warnings',
  }
  const { stdout, code, stderr } = await clrkRun(world, ['env'], { manifests: mainJob(world.key), env })
  assert.equal(code, 0, stderr)
  const seen = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map(line => line.split(/=(.*)/s, 2)),
  )
  assert.ok(!stdout.includes(world.key))
  assert.equal(seen.ANTHROPIC_API_KEY, 'clrk-injected-by-proxy')
  for (const name of [
    'OPENAI_API_KEY',
    'AWS_SECRET_ACCESS_KEY',
    'GITHUB_TOKEN',
    'SOMETHING_ELSE',
    'HTTPS_PROXY',
    'LD_PRELOAD',
    'NODE_OPTIONS',
  ]) {
    assert.equal(seen[name], undefined, name)
  }
  assert.equal(seen.LANG, 'C.UTF-8')
  assert.equal(seen.TERM, 'xterm')
})

/** Runs its arguments in a terminal of 33 by 99, presses Ctrl-C once it says "ready", and exits as it does. */
const TERMINAL = `
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
pressed = False
while True:
    try: data = os.read(terminal, 4096)
    except OSError: break
    if not data: break
    seen += data
    if b"ready" in seen and not pressed:
        pressed = True
        os.write(terminal, b"\\x03")
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`
