import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fitCells } from '../../src/cli/cells.ts'
import { emptyView, layout, reduce, render, type View } from '../../src/cli/panes-view.ts'

const SIZE = { rows: 12, columns: 40 }

const say = (view: View, source: string, ...texts: string[]): View =>
  texts.reduce((all, text) => reduce(all, { type: 'line', source, text }), view)
const press = (view: View, ...keys: string[]): View =>
  keys.reduce((all, key) => reduce(all, { type: 'key', key }), view)
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `line ${index + 1}`)
/** The frame's rows, as they stand on the terminal. */
const rowsOf = (view: View) =>
  render(view)
    .replace(/\x1b\[[07]?m/g, '')
    .split(/\x1b\[\d+;1H\x1b\[K/)
    .slice(1)
const shown = (view: View) => rowsOf(view).map(row => row.trimEnd())
const namesOf = (view: View) => view.panes.map(({ name }) => name)

test('worker, agents, traces and logs have a pane each, which follows its last lines', () => {
  const view = say(say(emptyView(SIZE), 'worker', 'up'), 'echo-bot', ...numbered(9))
  assert.deepEqual(shown(view), [
    '> worker (1)  ? help',
    'up',
    '',
    '  echo-bot (9)',
    'line 8',
    'line 9',
    '  otel-traces (0)',
    '',
    '',
    '  otel-logs (0)',
    '',
    '',
  ])
})

test('a pane that is scrolled up stays where it is and says that more came', () => {
  const agent = (view: View) => shown(view).slice(3, 6)
  const scrolled = press(say(emptyView(SIZE), 'bot', ...numbered(9)), '\t', 'k', '\x1b[A', '\x1bOA', 'j')
  assert.deepEqual(agent(scrolled), ['> bot (9) scrolled  ? help', 'line 6', 'line 7'])
  const grown = say(scrolled, 'bot', 'line 10')
  assert.deepEqual(agent(grown), ['> bot (10) more below  ? help', 'line 6', 'line 7'])
  assert.deepEqual(agent(press(grown, 'G')), ['> bot (10)  ? help', 'line 9', 'line 10'])
  assert.deepEqual(agent(press(grown, 'g')), ['> bot (10) more below  ? help', 'line 1', 'line 2'])
  assert.deepEqual(agent(press(grown, 'g', 'k', 'k', 'j')).slice(1), ['line 2', 'line 3']) // no dead keys at the top
  assert.deepEqual(agent(press(grown, 'c')), ['> bot (0)  ? help', '', ''])
  assert.deepEqual(agent(say(press(say(emptyView(SIZE), 'bot', 'one'), '\t', 'k'), 'bot', 'two')).slice(1), [
    'one',
    'two',
  ])
})

test('more than two agents share one pane; the focus stays on its pane', () => {
  const two = say(say(press(emptyView(SIZE), '\t'), 'a', '1'), 'b', '2')
  assert.deepEqual([namesOf(two), two.focus], [['worker', 'a', 'b', 'otel-traces', 'otel-logs'], 3])
  const four = say(say(two, 'c', '3'), 'd', '4')
  assert.deepEqual([namesOf(four), four.focus], [['worker', 'agents', 'otel-traces', 'otel-logs'], 2])
  assert.deepEqual(four.panes[1]?.lines, ['a: 1', 'b: 2', 'c: 3', 'd: 4'])
  assert.equal(say(press(two, '\t', '\t', '\t', '\t'), 'c', '3').focus, 1) // from b to what holds b
  assert.deepEqual(say(two, 'mock', 'here').panes[0]?.lines, ['mock: here'])
})

test('any key leaves the help', () => {
  const help = press(emptyView(SIZE), '?')
  assert.match(rowsOf(help)[0] ?? '', /^clrk dev: keys +$/)
  assert.deepEqual(press(help, 'c'), emptyView(SIZE))
})

test('every window is filled to the cell, whatever the text, also after it changed', () => {
  const wide = '漢字 e\u0301 🙂 한 \t'
  const cells = (row: string) => [...row.normalize('NFC')].reduce((sum, c) => sum + (/[漢字🙂한]/u.test(c) ? 2 : 1), 0)
  let view = emptyView(SIZE)
  for (const source of ['worker', 'a', 'b', 'otel-logs'])
    view = say(view, source, 'short', wide.repeat(20), `x${wide.repeat(20)}`)
  for (const rows of [3, 10, 11, 24, 57]) {
    for (const columns of [7, 40, 41, 133]) {
      const resized = reduce(view, { type: 'resize', size: { rows, columns } })
      for (const frame of [resized, press(resized, '?'), press(resized, '\t', '\t', 'g')]) {
        assert.deepEqual(rowsOf(frame).map(cells), Array(rows).fill(columns), `${rows} x ${columns}`)
        assert.ok(frame.help || shown(frame).some(row => row.startsWith('>')), 'the focus is in sight')
      }
    }
  }
  assert.deepEqual(layout({ rows: 14, columns: 40 }, 4), [4, 4, 3, 3])
  assert.equal(fitCells('漢字漢', 5), '漢字…')
  assert.equal(fitCells('漢字漢', 4), '漢 …')
  assert.equal(fitCells('e\u0301e\u0301', 2), 'e\u0301e\u0301')
})

test('what an agent prints cannot move the cursor or forge a frame (T106)', () => {
  const view = say(emptyView(SIZE), '\x1b[2Jbot', '\x1b[2J\x1b[Hmine\r\x9b1A\nyours\u202e\ud83d')
  assert.doesNotMatch(rowsOf(view).join(''), /[\p{C}]/u)
})

test('memory is bounded, in lines and in their length', () => {
  const view = say(emptyView(SIZE), 'bot', ...numbered(2_500), 'x'.repeat(65_536))
  assert.equal(view.panes[1]?.lines.length, 2_000)
  assert.equal(view.panes[1]?.lines.at(-1)?.length, 1_000)
})

/**
 * `clrk dev` with the example and `options` on a terminal of its own (12 x 60, and larger later); when it shows the
 * agent's end, `act` happens: Python, with `pid` and `fd`.
 */
function devOnTerminal(t: TestContext, options: string[], act: string) {
  const state = mkdtempSync(join(tmpdir(), 'panes-'))
  t.after(() => rmSync(state, { recursive: true, force: true }))
  const root = resolve(import.meta.dirname, '../..')
  const command = [
    'sh',
    `${root}/src/clrk`,
    'dev',
    `${root}/examples/echo-bot`,
    '--mock-provider',
    '--state',
    state,
    ...options,
  ]
  const program = `import fcntl, json, os, pty, signal, struct, sys, termios
def size(fd, rows, columns): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    size(0, 12, 60)
    os.environ.update(TERM="xterm", NO_COLOR="1")
    command = json.loads(sys.argv[1])
    os.execvp(command[0], command)
before = termios.tcgetattr(fd)
out, acted, raw = b"", False, False
while fd is not None:
    try: chunk = os.read(fd, 65536)
    except OSError: break
    if not chunk: break
    out += chunk
    if not acted and b"ended with status" in out and b"tokens" in out:
        acted, raw = True, termios.tcgetattr(fd) != before
        ${act}
restored = fd is None or termios.tcgetattr(fd) == before
_, status = os.waitpid(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), raw, restored, out.decode("utf8", "replace")]))
`
  const python = spawnSync('python3', ['-c', program, JSON.stringify(command)], { encoding: 'utf8', timeout: 60_000 })
  assert.equal(python.status, 0, python.stderr)
  const [status, raw, restored, output]: [number, boolean, boolean, string] = JSON.parse(python.stdout)
  const [frames = '', after = ''] = output.split('\x1b[?7h\x1b[?25h\x1b[?1049l')
  return { status, raw, restored, frames, after, running: processesOf(state) }
}

/** Command lines with `state` in them. */
function processesOf(state: string): string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return [] // it has just ended
      }
    })
    .filter(line => line.includes(state))
}

for (const [ending, options, act, status] of [
  ['q', [], 'os.write(fd, b"jjq")', 0],
  ['Ctrl-C', [], 'os.write(fd, b"\\x03")', 0],
  ['SIGTERM', [], 'os.kill(pid, signal.SIGTERM)', 0],
  ['the end of its tasks', ['--once'], 'pass', 0],
  ['the worker’s refusal', ['--secret', 'anthropic-key=HOME'], 'pass', 1],
] as const) {
  test(`panes on a terminal, which is as before after ${ending}`, t => {
    const ended = devOnTerminal(t, [...options], act)
    assert.deepEqual([ended.status, ended.restored, ended.running], [status, true, []], ended.after)
    console.log(JSON.stringify(ended))
  })
}

test('a terminal that hangs up ends everything in order', t => {
  const { status, running } = devOnTerminal(t, [], 'os.close(fd); fd = None')
  assert.deepEqual([status, running], [0, []])
})
