/** The streams of an attached container (Docker Engine API, POST /containers/{id}/attach). */
import { once } from 'node:events'
import { type Duplex, PassThrough, type Readable, Writable } from 'node:stream'

export type AttachedStreams = {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable | null
  /** Resolves when no more comes, whatever the reason; never rejects. */
  readonly ended: Promise<void>
}

/**
 * With a terminal both streams are one, as it is; its input ends with the end-of-file character (^D). `unread` is called
 * once, when the agent writes to a stream whose reader has turned away: the pipe itself is the engine's, and stays whole.
 */
export function attachedStreams(
  connection: Duplex,
  kind: 'pipes' | 'terminal',
  unread: () => void = () => {},
): AttachedStreams {
  const ended = Promise.withResolvers<void>()
  connection.on('error', () => {}) // the engine is gone: `ended` says so
  connection.on('close', () => ended.resolve())
  connection.on('end', () => ended.resolve())
  // The agent may end before its input does: what is written then goes nowhere.
  const stdin = new Writable({
    write: (chunk: Buffer, _encoding, done) => void connection.write(chunk, () => done()),
    final: done => {
      if (connection.destroyed) return done()
      // A connection that is destroyed meanwhile calls nobody back.
      let settled = false
      const settle = () => {
        if (!settled) done()
        settled = true
      }
      connection.once('close', settle)
      if (kind === 'terminal') connection.write(END_OF_FILE, settle)
      else connection.end(settle)
    },
  })
  if (kind === 'terminal') {
    const stdout = new PassThrough()
    void pump(connection, chunk => [[stdout, chunk]], unread).then(() => stdout.end())
    return { stdin, stdout, stderr: null, ended: ended.promise }
  }
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const split = createSplitter(stdout, stderr)
  void pump(connection, split, unread).then(() => {
    stdout.end()
    stderr.end()
  })
  return { stdin, stdout, stderr, ended: ended.promise }
}

type Pieces = readonly (readonly [PassThrough, Buffer])[]

/** Hands on what comes and waits for slow readers; one that has turned away is no reason to wait. */
async function pump(source: Readable, split: (chunk: Buffer) => Pieces, unread: () => void): Promise<void> {
  let isTold = false
  try {
    for await (const chunk of source) {
      for (const [target, piece] of split(chunk)) {
        if (target.destroyed && !isTold) {
          isTold = true
          unread()
        }
        if (target.destroyed || target.write(piece)) continue
        await Promise.race([once(target, 'drain'), once(target, 'close')])
      }
    }
  } catch {
    // the connection broke: what came so far is all there is
  }
}

/**
 * Frames: stream (1 is stdout, 2 stderr), three zeros, length (4 bytes, big-endian), then that many bytes. They may be
 * cut anywhere. Bytes of any other stream are dropped.
 */
function createSplitter(stdout: PassThrough, stderr: PassThrough): (chunk: Buffer) => Pieces {
  let header = Buffer.alloc(0)
  let target: PassThrough | null = null
  let left = 0
  return chunk => {
    const pieces: (readonly [PassThrough, Buffer])[] = []
    let at = 0
    while (at < chunk.length) {
      if (left === 0) {
        const part = chunk.subarray(at, at + HEADER_BYTES - header.length)
        header = Buffer.concat([header, part])
        at += part.length
        if (header.length < HEADER_BYTES) break
        target = header[0] === 1 ? stdout : header[0] === 2 ? stderr : null
        left = header.readUInt32BE(4)
        header = Buffer.alloc(0)
        continue
      }
      const piece = chunk.subarray(at, at + left)
      if (target !== null) pieces.push([target, piece])
      at += piece.length
      left -= piece.length
    }
    return pieces
  }
}

const HEADER_BYTES = 8
const END_OF_FILE = '\x04'
