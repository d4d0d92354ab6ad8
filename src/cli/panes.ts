/** The panes of `clrk dev` on a real terminal: the alternate screen, keys, redraws; everything restored at the end. */
import type { ReadStream, WriteStream } from 'node:tty'
import { emptyView, reduce, render, SMALLEST, type ViewEvent } from './panes-view.ts'
import type { Screen } from './render.ts'

export type Panes = Screen & {
  /** Gives the terminal back, then shows what each source said last on the ordinary screen. */
  readonly close: () => void
}

/** Whether `output`, a terminal of type `term` (the TERM of its user), can show panes. */
export function holdsPanes(
  { isTTY, rows, columns }: Pick<WriteStream, 'isTTY' | 'rows' | 'columns'>,
  term: string | undefined,
): boolean {
  const large = rows >= SMALLEST.rows && columns >= SMALLEST.columns
  return isTTY === true && large && term !== undefined && term !== '' && term !== 'dumb'
}

/** `after` shows lines once the panes are gone; `quit` hears `q`, Ctrl-C and a terminal that hung up, maybe repeatedly. */
export function openPanes(input: ReadStream, output: WriteStream, after: Screen, quit: () => void): Panes {
  const size = () => ({ rows: output.rows, columns: output.columns })
  let view = emptyView(size())
  let redraw: NodeJS.Timeout | null = null
  let open = true
  let count = 0
  const said = new Map<string, { at: number; text: string }[]>()

  function draw(): void {
    redraw = null
    output.write(render(view))
  }
  function happen(event: ViewEvent): void {
    view = reduce(view, event)
    redraw ??= setTimeout(draw, REDRAW_MS)
  }
  function line(source: string, text: string): void {
    if (!open) return after.line(source, text)
    for (const part of text.split('\n')) {
      const own = said.get(source) ?? []
      said.set(source, own)
      own.push({ at: count++, text: part })
      if (own.length > REMEMBERED) own.shift()
      happen({ type: 'line', source, text: part })
    }
  }
  function type(bytes: Buffer): void {
    // Keys that are held or typed fast come several in a piece.
    for (const [key] of bytes.toString('latin1').matchAll(KEY)) {
      if (key !== 'q' && key !== '\x03') {
        happen({ type: 'key', key })
        continue
      }
      line('worker', 'stopping')
      quit()
    }
  }
  function resized(): void {
    happen({ type: 'resize', size: size() })
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
    const last = [...said].flatMap(([source, lines]) => lines.map(({ at, text }) => ({ at, source, text })))
    for (const { source, text } of last.sort((a, b) => a.at - b.at)) after.line(source, text)
  }

  output.write(ENTER)
  // A terminal that hung up reads as an error or as an end; the error listener stays for what `close` meets.
  input.on('error', quit).on('end', quit)
  input.setRawMode(true)
  input.on('data', type).resume()
  output.on('resize', resized)
  process.on('exit', close) // an exception that nobody catches, too
  return { line, close }
}

/** Alternate screen, no cursor, no wrapping. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l'
/** An arrow (with or without application mode), any other escape sequence of one key, or one byte. */
const KEY = /\x1b[[O][0-9;]*[A-Za-z~]|[\s\S]/g
const REDRAW_MS = 33
/** Lines a source that are shown again after `close`. */
const REMEMBERED = 100
