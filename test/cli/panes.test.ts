import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { addLine, drawView, EMPTY_VIEW, fitCells, pressKey, type View } from '../../src/cli/panes-view.ts'

const SIZE = { rows: 10, columns: 40 }
const bare = (lines: readonly string[]) => lines.map(line => line.replace(/\x1b\[[0-9]*m/g, '').trimEnd())
const filled = (lines: number): View => {
  let view = addLine(EMPTY_VIEW, 'worker', 'up')
  for (let n = 1; n <= lines; n++) view = addLine(view, 'agent', `line ${n}`)
  return view
}
const press = (view: View, keys: readonly string[]) => keys.reduce(pressKey, view)

test('each source has a pane that follows its last lines', () => {
  assert.deepEqual(bare(drawView(filled(9), SIZE)), [
    '> worker (1)',
    'up',
    '',
    '',
    '',
    '  agent (9)',
    'line 6',
    'line 7',
    'line 8',
    'line 9',
  ])
})

test('a pane that is scrolled up stays where it is and says that more came', () => {
  const scrolled = press(filled(9), ['\t', 'k', '\x1b[A'])
  assert.deepEqual(bare(drawView(scrolled, SIZE)).slice(5), [
    '> agent (9) scrolled',
    'line 4',
    'line 5',
    'line 6',
    'line 7',
  ])
  const grown = addLine(scrolled, 'agent', 'line 10')
  assert.deepEqual(bare(drawView(grown, SIZE)).slice(5), [
    '> agent (10) more below',
    'line 4',
    'line 5',
    'line 6',
    'line 7',
  ])
  assert.deepEqual(bare(drawView(press(grown, ['G']), SIZE)).slice(5), [
    '> agent (10)',
    'line 7',
    'line 8',
    'line 9',
    'line 10',
  ])
  assert.equal(bare(drawView(press(grown, ['g']), SIZE))[6], 'line 1')
  assert.equal(bare(drawView(press(grown, ['c']), SIZE))[5], '> agent (0)')
})

test('every window is filled to the cell, whatever the text and the number of panes', () => {
  let view = filled(3)
  for (let n = 0; n < 20; n++) view = addLine(view, `pane-${n}`, '漢字 e\u0301 🙂 '.repeat(20))
  for (const rows of [10, 11, 24, 57]) {
    for (const columns of [40, 41, 133]) {
      for (const shown of [view, press(view, ['?']), press(view, Array(15).fill('\t'))]) {
        const lines = drawView(shown, { rows, columns })
        assert.equal(lines.length, rows)
      }
    }
  }
  assert.equal(fitCells('漢字漢', 5), '漢字 ')
  assert.equal(fitCells('e\u0301e\u0301', 2), 'e\u0301e\u0301')
})

test('what an agent prints cannot move the cursor or forge a frame (T106)', () => {
  const lines = drawView(addLine(EMPTY_VIEW, 'agent', '\x1b[2J\x1b[Hmine\r\nyours\u202e'), SIZE)
  assert.doesNotMatch(lines.join('').replace(/\x1b\[[07]?m/g, ''), /[\x00-\x1f\u202e]/)
})

test('memory is bounded', () => {
  assert.equal(filled(5_000).panes[1]?.lines.length, 2_000)
})

test('on a terminal: panes, q stops everything, and the terminal is as before', t => {
  const state = mkdtempSync(join(tmpdir(), 'panes-'))
  t.after(() => rmSync(state, { recursive: true, force: true }))
  const root = resolve(import.meta.dirname, '../..')
  const program = `import os, pty, sys, termios, select, fcntl, struct
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM="xterm", NO_COLOR="1")
    os.execvp("sh", ["sh", "${root}/src/clrk", "dev", "${root}/examples/echo-bot", "--mock-provider", "--state", "${state}"])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
before = termios.tcgetattr(fd)
out = b""
sent = False
restored = None
while True:
    ready, _, _ = select.select([fd], [], [], 30)
    if not ready: break
    try: chunk = os.read(fd, 65536)
    except OSError: break
    if not chunk: break
    out += chunk
    if b"ended with status 0" in out and b"otel-traces" in out and not sent:
        sent = True
        os.write(fd, b"q")
    if b"\\x1b[?1049l" in out and restored is None: restored = termios.tcgetattr(fd) == before
_, status = os.waitpid(pid, 0)
text = out.decode("utf8", "replace")
inside, _, after = text.partition("\\x1b[?1049l")
print(os.WEXITSTATUS(status), "entered" if "\\x1b[?1049h" in inside else "plain", "left" if after else "stayed")
print(restored, "answer: " in after and "otel-traces  " in after)
`
  const { stdout, stderr } = spawnSync('python3', ['-c', program], { encoding: 'utf8', timeout: 60_000 })
  assert.equal(stdout, '0 entered left\nTrue True\n', stderr)
})
