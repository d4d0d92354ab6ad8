/** How wide text is on a terminal. Near enough for a frame: terminals differ on a few characters among themselves. */

/** `text` cut (with … at its end) or padded to exactly `cells` cells; a tab counts as one space. */
export function fitCells(text: string, cells: number): string {
  let width = 0
  let kept = ''
  let short = { text: '', width: 0 } // what fits beside the …
  for (const character of text.replaceAll('\t', ' ')) {
    const next = width + cellsOf(character)
    if (next > cells) return `${short.text}${'…'.padStart(cells - short.width)}`
    width = next
    kept += character
    if (width < cells) short = { text: kept, width }
  }
  return kept + ' '.repeat(cells - width)
}

/** 0 for combining marks, 2 for CJK, Hangul, full-width forms and most emoji (Unicode UAX #11), else 1. */
function cellsOf(character: string): 0 | 1 | 2 {
  if (character < '\u0300') return 1
  if (COMBINING.test(character)) return 0
  return WIDE.test(character) ? 2 : 1
}

const COMBINING = /^[\p{Mn}\p{Me}\u1160-\u11ff]/u
const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation})/u
