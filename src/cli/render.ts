/**
 * Lines from many sources on one screen, each behind its source's name. Whatever an agent or a remote host said is made
 * printable first, so that it cannot move the cursor, forge another source's line or turn text around (T106).
 */
import { StringDecoder } from 'node:string_decoder'

export type Screen = {
  /** Prints `text`, which may have several lines, as lines of `source`. */
  readonly line: (source: string, text: string) => void
}

/** A screen on `write`; `colour` only where a terminal reads it. The name column grows with the longest name. */
export function screen(write: (text: string) => void, colour: boolean): Screen {
  let width = 'otel-traces'.length
  const tints = new Map<string, string>()
  return {
    line: (source, text) => {
      const name = printable(source)
      width = Math.max(width, name.length)
      const tint = tints.get(name) ?? TINTS[tints.size % TINTS.length] ?? ''
      tints.set(name, tint)
      const prefix = colour ? `\x1b[${tint}m${name.padEnd(width)}\x1b[0m` : name.padEnd(width)
      write(
        text
          .split('\n')
          .map(part => `${prefix}  ${printable(part)}\n`)
          .join(''),
      )
    },
  }
}

/** `text` with control, format and bidirectional characters as visible escapes; a tab stays a tab. */
export function printable(text: string): string {
  return text.replace(/[^\P{C}\t]|[\u2028\u2029]/gu, character => {
    const code = character.codePointAt(0) ?? 0
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}

export type LineReader = {
  readonly push: (bytes: Buffer) => void
  /** Gives out what stands after the last newline. */
  readonly end: () => void
}

/** Cuts UTF-8 bytes into lines, without their line ends (\n or \r\n); a line past `LINE_CHARACTERS` is given in pieces. */
export function lineReader(onLine: (line: string) => void): LineReader {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  return {
    push: bytes => {
      const lines = (rest + decoder.write(bytes)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line.replace(/\r$/, ''))
      if (rest.length <= LINE_CHARACTERS) return
      onLine(rest)
      rest = ''
    },
    end: () => {
      rest += decoder.end()
      if (rest !== '') onLine(rest)
      rest = ''
    },
  }
}

const LINE_CHARACTERS = 65_536
const TINTS = ['36', '32', '35', '33', '34', '96', '92', '95'] as const
