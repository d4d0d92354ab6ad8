/** What `clrk dev` shows on a terminal, as data: a state, what changes it, how it is drawn. Pure, no I/O. */
import { fitCells } from './cells.ts'
import { printable } from './render.ts'

export type Pane = {
  readonly name: string
  readonly lines: readonly string[]
  /** Lines between the last one and the bottom of what is shown; 0 follows. */
  readonly scrolled: number
  /** Something came while it was scrolled up. */
  readonly unseen: boolean
}

export type Size = { readonly rows: number; readonly columns: number }

/** `focus`: index of the pane that keys go to. */
export type View = {
  readonly size: Size
  readonly panes: readonly Pane[]
  readonly focus: number
  readonly help: boolean
}

/** `text`: one line, untrusted. `key`: the bytes of one key of a terminal in raw mode. */
export type ViewEvent =
  | { readonly type: 'line'; readonly source: string; readonly text: string }
  | { readonly type: 'key'; readonly key: string }
  | { readonly type: 'resize'; readonly size: Size }

/** Below this there is no room for panes. */
export const SMALLEST: Size = { rows: 10, columns: 40 }

/** The worker's pane above, telemetry below; those of agents come between them at their first lines. */
export function emptyView(size: Size): View {
  return { size, panes: OWN.map(emptyPane), focus: 0, help: false }
}

/** The view after `event`; a key that means nothing changes nothing. */
export function reduce(view: View, event: ViewEvent): View {
  switch (event.type) {
    case 'line':
      return settle(addLine(view, printable(event.source), printable(event.text.slice(0, LINE_CHARACTERS))))
    case 'key':
      return settle(pressKey(view, event.key))
    case 'resize':
      return settle({ ...view, size: event.size })
  }
}

/** The height of each of `count` panes, title included: all of `rows`, but never fewer than a title and a line each. */
export function layout({ rows }: Size, count: number): readonly number[] {
  const share = Math.floor(rows / count)
  if (share < 2) return Array<number>(count).fill(2)
  return Array.from({ length: count }, (_, index) => share + (index < rows % count ? 1 : 0))
}

/** The whole frame as bytes for a terminal, every row at its own place: a row whose width a terminal sees otherwise moves no other. */
export function render(view: View): string {
  return rowsOf(view)
    .map((text, row) => `\x1b[${row + 1};1H\x1b[K${text}`)
    .join('')
}

const OWN: readonly string[] = ['worker', 'otel-traces', 'otel-logs']
const AGENTS = 'agents'
const AGENT_PANES = 2
const LINES = 2_000
const LINE_CHARACTERS = 1_000
const HELP = [
  'clrk dev: keys',
  '',
  '  up/down, j/k   scroll the focused pane',
  '  g, G           its beginning, its end',
  '  tab            the next pane',
  '  c              clear the pane',
  '  ?              this help',
  '  q, Ctrl-C      stop everything',
]

function emptyPane(name: string): Pane {
  return { name, lines: [], scrolled: 0, unseen: false }
}

function addLine(view: View, source: string, text: string): View {
  if (view.panes.some(({ name }) => name === source)) return append(view, source, text)
  if (source === 'mock') return append(view, 'worker', `mock: ${text}`)
  if (view.panes.some(({ name }) => name === AGENTS)) return append(view, AGENTS, `${source}: ${text}`)
  const agents = view.panes.filter(({ name }) => !OWN.includes(name))
  if (agents.length === AGENT_PANES) return addLine(together(view, agents), source, text)
  const at = 1 + agents.length
  const panes = view.panes.toSpliced(at, 0, emptyPane(source))
  return append({ ...view, panes, focus: view.focus < at ? view.focus : view.focus + 1 }, source, text)
}

/** The panes of `agents` made one, each line behind its agent's name. */
function together(view: View, agents: readonly Pane[]): View {
  const lines = agents.flatMap(agent => agent.lines.map(line => `${agent.name}: ${line}`))
  const panes = view.panes.toSpliced(1, agents.length, { ...emptyPane(AGENTS), lines: lines.slice(-LINES) })
  return {
    ...view,
    panes,
    focus: view.focus <= agents.length ? Math.min(view.focus, 1) : view.focus + 1 - agents.length,
  }
}

function append(view: View, name: string, text: string): View {
  return change(
    view,
    pane => pane.name === name,
    pane => ({
      ...pane,
      lines: [...pane.lines, text].slice(-LINES),
      scrolled: pane.scrolled === 0 ? 0 : pane.scrolled + 1,
      unseen: pane.scrolled > 0,
    }),
  )
}

function pressKey(view: View, key: string): View {
  if (view.help) return { ...view, help: false }
  const focused = (next: (pane: Pane) => Partial<Pane>) =>
    change(
      view,
      (_, index) => index === view.focus,
      pane => ({ ...pane, ...next(pane) }),
    )
  switch (key) {
    case '?':
      return { ...view, help: true }
    case '\t':
      return { ...view, focus: (view.focus + 1) % view.panes.length }
    case 'c':
      return focused(() => ({ lines: [] }))
    case 'k':
    case '\x1b[A':
    case '\x1bOA':
      return focused(pane => ({ scrolled: pane.scrolled + 1 }))
    case 'j':
    case '\x1b[B':
    case '\x1bOB':
      return focused(pane => ({ scrolled: pane.scrolled - 1 }))
    case 'g':
      return focused(() => ({ scrolled: LINES }))
    case 'G':
      return focused(() => ({ scrolled: 0 }))
    default:
      return view
  }
}

/** No pane is scrolled further than it has lines for. */
function settle(view: View): View {
  const heights = layout(view.size, view.panes.length)
  return change(
    view,
    () => true,
    (pane, index) => {
      const furthest = Math.max(0, pane.lines.length - ((heights[index] ?? 0) - 1))
      const scrolled = Math.max(0, Math.min(pane.scrolled, furthest))
      return { ...pane, scrolled, unseen: pane.unseen && scrolled > 0 }
    },
  )
}

function change(
  view: View,
  which: (pane: Pane, index: number) => boolean,
  to: (pane: Pane, index: number) => Pane,
): View {
  return { ...view, panes: view.panes.map((pane, index) => (which(pane, index) ? to(pane, index) : pane)) }
}

/** `size.rows` rows of exactly `size.columns` cells. */
function rowsOf(view: View): readonly string[] {
  const { rows, columns } = view.size
  const fit = (text: string) => fitCells(text, columns)
  if (view.help) return Array.from({ length: rows }, (_, row) => fit(HELP[row] ?? ''))
  const heights = layout(view.size, view.panes.length)
  const drawn = view.panes.flatMap((pane, index) => drawPane(pane, heights[index] ?? 0, index === view.focus, fit))
  // In a window that became too small for all: those around the focus.
  const above = heights.slice(0, view.focus).reduce((sum, height) => sum + height, 0)
  const first = Math.max(0, Math.min(above, drawn.length - rows))
  return drawn.slice(first, first + rows)
}

function drawPane(pane: Pane, height: number, focused: boolean, fit: (text: string) => string): readonly string[] {
  const body = height - 1
  const end = pane.lines.length - pane.scrolled
  const lines = pane.lines.slice(Math.max(0, end - body), end)
  const mark = pane.unseen ? ' more below' : pane.scrolled > 0 ? ' scrolled' : ''
  const title = fit(`${focused ? '>' : ' '} ${pane.name} (${pane.lines.length})${mark}${focused ? '  ? help' : ''}`)
  return [`\x1b[7m${title}\x1b[0m`, ...Array.from({ length: body }, (_, row) => fit(lines[row] ?? ''))]
}
