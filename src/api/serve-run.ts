/**
 * One run on an upgraded control connection, the worker's end.
 *
 * From the client: `json` RunRequest, then stdin as `data` and `eof`, `credit`, `signal`, `resize`, `stop`.
 * To the client: `json` {progress} while an image is pulled, {started: {id}} or {fault}; stdout and stderr; `exit` as
 * soon as the agent ended; `json` {record} after the streams' ends. A client that goes before that ends its sandbox.
 */
import type { Socket } from 'node:net'
import type { StartedRun, WorkerControl } from '../worker/control.ts'
import { encodeFrame, type Frame, frameReader } from './frames.ts'
import { faultOf, parseRequest, runRequest } from './schemas.ts'
import { receiveStream, type StreamReceiver, type StreamSender, sendStream } from './streams.ts'

/** Serves the run that `socket` asks for; `head` are bytes that came with the upgrade. Resolves when it is over; never rejects. */
export async function serveRun(control: WorkerControl, socket: Socket, head: Buffer): Promise<void> {
  const gone = new AbortController()
  const read = frameReader()
  const { promise: request, resolve: gotRequest } = Promise.withResolvers<unknown>()
  let handle: ((frame: Frame) => void) | null = null
  const early: Frame[] = []
  const send = (frame: Frame) => {
    if (socket.writable) socket.write(encodeFrame(frame))
  }
  const take = (bytes: Buffer) => {
    const { frames, error } = read(bytes)
    for (const frame of frames) {
      if (frame.type === 'json') gotRequest(frame.value)
      else if (handle === null) early.push(frame)
      else handle(frame)
    }
    if (error !== null) socket.destroy()
  }
  const leave = () => {
    gone.abort()
    gotRequest(null)
    socket.destroySoon()
  }
  socket.on('data', take)
  socket.on('end', leave)
  socket.on('close', leave)
  take(head)

  try {
    const parsed = parseRequest(runRequest, await request)
    const progress = (line: string) => send({ type: 'json', value: { progress: line } })
    const run = await control.run(parsed, gone.signal, progress)
    const streams = connectStreams(run, send)
    handle = streams.handle
    send({ type: 'json', value: { started: { id: run.sandbox.id } } })
    for (const frame of early) streams.handle(frame)
    const record = run.record.catch((error: unknown) => error)
    send({ type: 'exit', exit: await run.sandbox.exited })
    await Promise.race([streams.sent, aborted(gone.signal)])
    const result = await record
    if (result instanceof Error) throw result
    send({ type: 'json', value: { record: result } })
  } catch (error) {
    send({ type: 'json', value: { fault: faultOf(error) } })
  }
  socket.end()
}

function connectStreams({ sandbox }: StartedRun, send: (frame: Frame) => void) {
  const stdin: StreamReceiver = receiveStream(sandbox.stdin, 0, send)
  const stdout: StreamSender = sendStream(sandbox.stdout, 1, send)
  const stderr: StreamSender | null = sandbox.stderr === null ? null : sendStream(sandbox.stderr, 2, send)
  const senderOf = (stream: number) => (stream === 1 ? stdout : stream === 2 ? stderr : null)
  const handle = (frame: Frame) => {
    if (frame.type === 'data' && frame.stream === 0) stdin.data(frame.bytes)
    else if (frame.type === 'eof' && frame.stream === 0) stdin.eof()
    else if (frame.type === 'eof') senderOf(frame.stream)?.cancel()
    else if (frame.type === 'credit') senderOf(frame.stream)?.credit(frame.bytes)
    else if (frame.type === 'signal') sandbox.signal(frame.signal)
    else if (frame.type === 'resize') sandbox.resize(frame.rows, frame.columns)
    else if (frame.type === 'stop') void sandbox.stop()
  }
  return { handle, sent: Promise.all([stdout.done, stderr?.done]) }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve())
  })
}
