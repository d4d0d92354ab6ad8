/** Puts a head, a body and its framing together, so that what is there at the same time leaves in one write. */
import type { Duplex } from 'node:stream'
import { COPIED_BYTES } from './write-head.ts'

export type Outbox = {
  /** Text (latin1) that goes out with what follows it. */
  readonly text: (text: string) => void
  readonly bytes: (bytes: Buffer) => void
  /** Nothing more comes for now. */
  readonly flush: () => void
}

export function createOutbox(socket: Duplex): Outbox {
  let waiting = ''
  let corked = false

  /** A socket may say something while it is written to. */
  function writeText(): void {
    const text = waiting
    waiting = ''
    if (text !== '') socket.write(text, 'latin1')
  }

  return {
    text: text => {
      waiting += text
    },
    bytes: bytes => {
      if (bytes.length <= COPIED_BYTES) {
        waiting += bytes.toString('latin1')
        return
      }
      if (waiting !== '' && !corked) {
        corked = true
        socket.cork()
      }
      writeText()
      socket.write(bytes)
    },
    flush: () => {
      writeText()
      if (corked) socket.uncork()
      corked = false
    },
  }
}
