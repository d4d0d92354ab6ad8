/** The panes of `clrk dev` on a real terminal: the alternate screen, keys, redraws; everything restored at the end. */
import type { ReadStream, WriteStream } from 'node:tty'
import { addLine, drawView, EMPTY_VIEW, pressKey, SMALLEST, type View } from './panes-view.ts'
import type { Screen } from './render.ts'

export type Panes = Screen & {
  /** Gives the terminal back, then shows what was said last on the ordinary screen. */
  readonly close: () => void
}

const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const REDRAW_MS = 33
const REMEMBERED = 500

/** Whether `output` can show panes. */
export function holdsPanes(output: WriteStream): boolean {
  const large = output.rows >= SMALLEST.rows && output.columns >= SMALLEST.columns
  return output.isTTY === true && large && process.env.TERM !== 'dumb'
}

/** `after` shows lines on the ordinary screen once the panes are gone; `quit` hears `q` and Ctrl-C. */
export function openPanes(input: ReadStream, output: WriteStream, after: Screen, quit: () => void): Panes {
  let view: View = EMPTY_VIEW
  let redraw: NodeJS.Timeout | null = null
  let open = true
  const said: [source: string, text: string][] = []

  function draw(): void {
    redraw = null
    if (!open) return
    const lines = drawView(view, { rows: output.rows, columns: output.columns })
    output.write(`\x1b[H${lines.join('\r\n')}`)
  }
  function change(next: View): void {
    view = next
    redraw ??= setTimeout(draw, REDRAW_MS)
  }
  function type(bytes: Buffer): void {
    const key = bytes.toString('latin1')
    if (key === 'q' || key === '\x03') quit()
    else change(pressKey(view, key))
  }
  function resized(): void {
    output.write('\x1b[2J')
    change(view)
  }
  function close(): void {
    if (!open) return
    open = false
    if (redraw !== null) clearTimeout(redraw)
    input.off('data', type).pause()
    input.setRawMode(false)
    output.off('resize', resized)
    process.off('exit', close)
    output.write(LEAVE)
    for (const [source, text] of said) after.line(source, text)
  }

  output.write(ENTER)
  input.setRawMode(true)
  input.on('data', type).resume()
  output.on('resize', resized)
  process.on('exit', close)
  return {
    line: (source, text) => {
      if (!open) return after.line(source, text)
      for (const part of text.split('\n')) {
        said.push([source, part])
        if (said.length > REMEMBERED) said.shift()
        change(addLine(view, source, part))
      }
    },
    close,
  }
}
