/**
 * One standard stream over frames, with a window: at most `WINDOW_BYTES` are under way, so a reader that does not read
 * stops its writer, as a pipe does, and never the signals, the exit or the other streams on the same connection.
 */
import type { Readable, Writable } from 'node:stream'
import type { Frame, StreamId } from './frames.ts'

type Send = (frame: Frame) => void

export type StreamSender = {
  readonly credit: (bytes: number) => void
  /** The other side wants no more: the source is destroyed, as a pipe whose reader has gone. */
  readonly cancel: () => void
  /** Resolves once everything was handed to `send`, or on `cancel`. */
  readonly done: Promise<void>
}

/** Sends `source` as data frames, then `eof`. An error of the source counts as its end. */
export function sendStream(source: Readable, stream: StreamId, send: Send): StreamSender {
  let window = WINDOW_BYTES
  const { promise: done, resolve } = Promise.withResolvers<void>()
  let ended = false
  const end = () => {
    if (ended) return
    ended = true
    send({ type: 'eof', stream })
    resolve()
  }
  const pump = () => {
    while (window > 0 && !ended) {
      const chunk: Buffer | null = source.read()
      if (chunk === null) return
      window -= chunk.length
      for (let at = 0; at < chunk.length; at += CHUNK_BYTES) {
        send({ type: 'data', stream, bytes: chunk.subarray(at, at + CHUNK_BYTES) })
      }
    }
  }
  source.on('readable', pump)
  source.on('end', end)
  source.on('error', end)
  source.on('close', end)
  return {
    credit: bytes => {
      window += bytes
      pump()
    },
    cancel: () => {
      ended = true
      resolve()
      source.destroy()
    },
    done,
  }
}

export type StreamReceiver = {
  readonly data: (bytes: Buffer) => void
  readonly eof: () => void
}

/** Writes what comes into `sink` and grants credit as it drains; when `sink` closes first, tells the sender by `eof`. */
export function receiveStream(sink: Writable, stream: StreamId, send: Send): StreamReceiver {
  let over = false
  const refuse = () => {
    if (over) return
    over = true
    send({ type: 'eof', stream })
  }
  sink.on('error', refuse)
  sink.on('close', refuse)
  return {
    data: bytes => {
      if (over) return
      sink.write(bytes, error => {
        if (!error && !over) send({ type: 'credit', stream, bytes: bytes.length })
      })
    },
    eof: () => {
      if (over) return
      over = true
      sink.end()
    },
  }
}

/** Four times a Linux pipe's buffer: one round trip of credit never stalls a busy stream. */
const WINDOW_BYTES = 262_144
const CHUNK_BYTES = 65_536
