import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fitCells } from '../../src/cli/cells.ts'
import { holdsPanes } from '../../src/cli/panes.ts'
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

/** What the frames hold once the agent has ended and its span was shown. */
const SHOWN = ['ended with status 0', 'tokens']

type Setting = { options?: readonly string[]; child?: string }
type Step = readonly [texts: readonly string[], python: string]

/**
 * `clrk dev` with the example and `options` on a terminal of its own (24 x 80). Each of `steps` is done when the strings
 * in it have been written, later than the step before: Python, with `pid` and `fd`. `child`: Python, in the
 * child before it becomes `clrk`.
 */
function devOnTerminal(t: TestContext, { options = [], child = '' }: Setting, ...steps: Step[]) {
  const state = mkdtempSync(join(tmpdir(), 'panes-'))
  t.after(() => rmSync(state, { recursive: true, force: true }))
  const root = resolve(import.meta.dirname, '../..')
  const example = [`${root}/examples/echo-bot`, '--mock-provider', '--state', state]
  const program = `import fcntl, json, os, pty, signal, struct, sys, termios
def size(fd, rows, columns): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
steps, child, command = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    size(0, 24, 80)
    os.environ.update(TERM="xterm", NO_COLOR="1")
    exec(child)
    os.execvp(command[0], command)
signal.signal(signal.SIGTERM, lambda *_: (os.kill(pid, signal.SIGTERM), sys.exit("no more came")))
before = termios.tcgetattr(fd)
out, since, raw = "", 0, False
while fd is not None:
    try: chunk = os.read(fd, 65536)
    except OSError: break
    if not chunk: break
    out += chunk.decode("utf8", "replace")
    raw = raw or termios.tcgetattr(fd) != before
    if steps and all(text in out[since:] for text in steps[0][0]):
        since = len(out)
        exec(steps.pop(0)[1])
restored = fd is None or termios.tcgetattr(fd) == before
_, status = os.waitpid(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), raw, restored, out]))
`
  const input = JSON.stringify([steps, child, ['sh', `${root}/src/clrk`, 'dev', ...example, ...options]])
  const python = spawnSync('python3', ['-c', program, input], { encoding: 'utf8', timeout: 60_000 })
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

for (const [ending, options, act] of [
  ['q, also in a piece with other keys', [], 'os.write(fd, b"\\x1b[Ajq")'],
  ['Ctrl-C', [], 'os.write(fd, b"\\x03")'],
  ['SIGTERM', [], 'os.kill(pid, signal.SIGTERM)'],
  ['the end of its tasks', ['--once'], 'pass'],
] as const) {
  test(`panes on a terminal, which is as before after ${ending}`, t => {
    const { status, raw, restored, frames, after, running } = devOnTerminal(t, { options }, [SHOWN, act])
    assert.deepEqual([status, raw, restored, running], [0, true, true, []], after)
    assert.ok(frames.startsWith('\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[1;1H\x1b[K\x1b[7m> worker (1)'), frames)
    assert.match(frames, /\x1b\[7m {2}echo-bot \(\d+\).*\x1b\[7m {2}otel-traces \(\d+\).*\x1b\[7m {2}otel-logs \(\d+\)/)
    assert.match(after, /^worker {7}echo-bot ended with status 0\r$/m)
    assert.match(after, /^echo-bot {5}answer: /m)
  })
}

test('the frame follows the window', t => {
  const larger: Step = [SHOWN, 'size(fd, 30, 100)']
  const small: Step = [['\x1b[30;1H'], 'size(fd, 4, 10)']
  const { status, frames } = devOnTerminal(t, {}, larger, small, [['> worker …'], 'os.write(fd, b"q")'])
  assert.equal(status, 0)
  assert.match(frames, /\x1b\[30;1H\x1b\[K {100}\x1b\[1;1H\x1b\[K\x1b\[7m> worker …\x1b\[0m/)
})

test('an error is read on the ordinary screen', t => {
  const directory = mkdtempSync(join(tmpdir(), 'panes-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const broken = join(directory, 'broken.yaml')
  writeFileSync(
    broken,
    'apiVersion: clrk.apoxy.dev/v1alpha1\nkind: EgressGateway\nmetadata: {name: x}\nspec: {nonsense: 1}\n',
  )
  const { status, restored, after, running } = devOnTerminal(t, { options: ['-f', broken] })
  assert.deepEqual([status, restored, running], [1, true, []], after)
  assert.match(after, /\nclrk: .*broken\.yaml/)
})

for (const [how, child] of [
  ['with SIGHUP', ''],
  // Another session's terminal: only reading it tells.
  ['without SIGHUP', 'signal.signal(signal.SIGHUP, signal.SIG_IGN); fcntl.ioctl(0, termios.TIOCNOTTY)'],
] as const) {
  test(`a terminal that hangs up ends everything in order (${how})`, t => {
    const { status, running } = devOnTerminal(t, { child }, [SHOWN, 'os.close(fd); fd = None'])
    assert.deepEqual([status, running], [0, []])
  })
}

test('no panes where they are not wanted or do not fit', t => {
  const terminal = { isTTY: true, rows: 10, columns: 40 }
  assert.equal(holdsPanes(terminal, 'xterm'), true)
  assert.equal(holdsPanes({ ...terminal, rows: 9 }, 'xterm'), false)
  assert.equal(holdsPanes({ ...terminal, columns: 39 }, 'xterm'), false)
  for (const term of ['dumb', '', undefined]) assert.equal(holdsPanes(terminal, term), false)
  const { status, raw, frames } = devOnTerminal(t, { options: ['--no-panes', '--once'] })
  assert.deepEqual([status, raw], [0, false])
  assert.doesNotMatch(frames, /\x1b/)
  assert.match(frames, /^worker {7}echo-bot ended with status 0\r$/m)
})
