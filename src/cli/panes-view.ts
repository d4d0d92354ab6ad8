/** What `clrk dev` shows on a terminal: one pane a source, as data. Pure: a state, what changes it, how it is drawn. */
import { printable } from './render.ts'

export type Pane = {
  readonly name: string
  readonly lines: readonly string[]
  /** Lines between the last one and the bottom of what is shown; 0 follows. */
  readonly scrolled: number
  /** Something came while it was scrolled up. */
  readonly unseen: boolean
}

export type View = { readonly panes: readonly Pane[]; readonly focus: number; readonly help: boolean }

export type Size = { readonly rows: number; readonly columns: number }

export const EMPTY_VIEW: View = { panes: [], focus: 0, help: false }

/** Below this there is no room for panes. */
export const SMALLEST: Size = { rows: 10, columns: 40 }

const LINES = 2_000
const HELP = [
  'up/down, j/k   scroll the focused pane',
  'g, G           its beginning, its end',
  'tab            the next pane',
  'c              clear the pane',
  '?              this help',
  'q, Ctrl-C      stop everything',
]

/** Adds a line to the pane of `source`, which is made at its first line; `text` is made printable. */
export function addLine(view: View, source: string, text: string): View {
  const name = printable(source)
  const known = view.panes.find(pane => pane.name === name) ?? { name, lines: [], scrolled: 0, unseen: false }
  const lines = [...known.lines, printable(text)].slice(-LINES)
  const followed = known.scrolled === 0
  const grown = {
    ...known,
    lines,
    scrolled: followed ? 0 : Math.min(known.scrolled + 1, lines.length),
    unseen: !followed,
  }
  const others = view.panes.some(pane => pane.name === name)
  return {
    ...view,
    panes: others ? view.panes.map(pane => (pane.name === name ? grown : pane)) : [...view.panes, grown],
  }
}

/** A key that was typed, as the bytes of a terminal in raw mode. Unknown ones change nothing. */
export function pressKey(view: View, key: string): View {
  if (view.help) return { ...view, help: false }
  switch (key) {
    case '?':
      return { ...view, help: true }
    case '\t':
      return { ...view, focus: (view.focus + 1) % Math.max(1, view.panes.length) }
    case 'c':
      return changeFocused(view, pane => ({ ...pane, lines: [], scrolled: 0, unseen: false }))
    case 'k':
    case '\x1b[A':
      return changeFocused(view, pane => scrollTo(pane, pane.scrolled + 1))
    case 'j':
    case '\x1b[B':
      return changeFocused(view, pane => scrollTo(pane, pane.scrolled - 1))
    case 'g':
      return changeFocused(view, pane => scrollTo(pane, pane.lines.length))
    case 'G':
      return changeFocused(view, pane => scrollTo(pane, 0))
    default:
      return view
  }
}

/** The whole window, `size.rows` lines of exactly `size.columns` cells each. */
export function drawView(view: View, { rows, columns }: Size): readonly string[] {
  const fit = (text: string) => fitCells(text, columns)
  if (view.help)
    return Array.from({ length: rows }, (_, row) => fit(row === 0 ? 'clrk dev: keys' : `  ${HELP[row - 2] ?? ''}`))
  const count = Math.max(1, view.panes.length)
  const share = Math.max(2, Math.floor(rows / count))
  const drawn = view.panes.flatMap((pane, index) => {
    const height = index === view.panes.length - 1 ? Math.max(2, rows - share * (count - 1)) : share
    return drawPane(pane, height, index === view.focus, fit)
  })
  // More panes than the window holds: those around the focus.
  const first = Math.max(0, Math.min(view.focus * share, drawn.length - rows))
  const shown = drawn.slice(first, first + rows)
  return [...shown, ...Array.from({ length: rows - shown.length }, () => fit(''))]
}

function drawPane(pane: Pane, height: number, focused: boolean, fit: (text: string) => string): readonly string[] {
  const body = height - 1
  const end = Math.max(Math.min(body, pane.lines.length), pane.lines.length - pane.scrolled)
  const lines = pane.lines.slice(Math.max(0, end - body), end)
  const mark = pane.unseen ? ' more below' : pane.scrolled > 0 ? ' scrolled' : ''
  const title = fit(`${focused ? '>' : ' '} ${pane.name} (${pane.lines.length})${mark}`)
  return [`\x1b[7m${title}\x1b[0m`, ...lines.map(fit), ...Array.from({ length: body - lines.length }, () => fit(''))]
}

function scrollTo(pane: Pane, scrolled: number): Pane {
  const bounded = Math.max(0, Math.min(scrolled, Math.max(0, pane.lines.length - 1)))
  return { ...pane, scrolled: bounded, unseen: bounded > 0 && pane.unseen }
}

function changeFocused(view: View, change: (pane: Pane) => Pane): View {
  return { ...view, panes: view.panes.map((pane, index) => (index === view.focus ? change(pane) : pane)) }
}

/** `text` cut and padded to exactly `cells` cells of a terminal; a tab counts as one space. */
export function fitCells(text: string, cells: number): string {
  let width = 0
  let kept = ''
  for (const character of text.replaceAll('\t', ' ')) {
    const next = width + cellsOf(character)
    if (next > cells) break
    width = next
    kept += character
  }
  return kept + ' '.repeat(cells - width)
}

/** Combining marks take no cell; CJK, Hangul, full-width forms and most emoji take two (Unicode UAX #11). */
function cellsOf(character: string): number {
  if (/^\p{M}/u.test(character)) return 0
  return /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|^\p{Emoji_Presentation}|^[\u{20000}-\u{3fffd}]/u.test(
    character,
  )
    ? 2
    : 1
}
