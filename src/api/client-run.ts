/** One run over the control socket, the client's end of serve-run.ts: the worker's sandbox as if it were local. */
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { clrkError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { RunningSandbox, SandboxExit } from '../runtimes/runtime.ts'
import type { RunRecord, RunRequest, StartedRun } from '../worker/control.ts'
import { encodeFrame, type Frame, frameReader } from './frames.ts'
import { receiveStream, sendStream } from './streams.ts'

type Options = {
  readonly socketPath: string
  readonly request: RunRequest
  readonly abort: AbortSignal
  readonly progress: (line: string) => void
  /** Makes the error for a connection that ended. */
  readonly lost: (error: unknown) => Error
  readonly faultToError: (value: unknown) => Error
}

/** Starts a run; rejects with the worker's fault, or with `lost`'s where the connection ends first. */
export async function openRun({
  socketPath,
  request,
  abort,
  progress,
  lost,
  faultToError,
}: Options): Promise<StartedRun> {
  const { socket, head } = await upgrade(socketPath).catch(error => {
    throw lost(error)
  })
  const send = (frame: Frame) => {
    if (socket.writable) socket.write(encodeFrame(frame))
  }
  const terminal = request.stdio.kind === 'terminal'
  const stdin = new PassThrough()
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const input = sendStream(stdin, 0, send)
  const output = receiveStream(stdout, 1, send)
  const errors = receiveStream(stderr, 2, send)

  const started = Promise.withResolvers<string>()
  const exited = Promise.withResolvers<SandboxExit>()
  const record = Promise.withResolvers<RunRecord>()
  for (const { promise } of [started, exited, record]) promise.catch(() => {}) // whoever awaits it hears of it
  const fail = (error: Error) => {
    for (const { reject } of [started, exited, record]) reject(error)
    stdout.end()
    stderr.end()
    input.cancel()
  }

  const handleJson = (value: unknown) => {
    const message = value as { progress?: string; started?: { id: string }; record?: RunRecord }
    if (message?.progress !== undefined) progress(message.progress)
    else if (message?.started !== undefined) started.resolve(message.started.id)
    else if (message?.record !== undefined) record.resolve(message.record)
    else fail(faultToError(value))
  }
  const handle = (frame: Frame) => {
    if (frame.type === 'json') handleJson(frame.value)
    else if (frame.type === 'exit') exited.resolve(frame.exit)
    else if (frame.type === 'credit') input.credit(frame.bytes)
    else if (frame.type === 'data' || frame.type === 'eof') {
      if (frame.stream === 0) return input.cancel()
      const receiver = frame.stream === 1 ? output : errors
      if (frame.type === 'data') receiver.data(frame.bytes)
      else receiver.eof()
    }
  }
  const read = frameReader()
  const take = (bytes: Buffer) => {
    const { frames, error } = read(bytes)
    for (const frame of frames) handle(frame)
    if (error !== null) socket.destroy(new Error(error))
  }
  let reason = 'it closed the connection'
  socket.on('data', take)
  socket.on('error', error => {
    reason = error.message
  })
  socket.on('close', () => fail(lost(reason)))

  socket.write(encodeRequest(request, () => socket.destroy()))
  take(head)
  const leave = () => socket.destroy()
  abort.addEventListener('abort', leave)
  if (abort.aborted) leave()
  const id = await started.promise
  const sandbox: RunningSandbox = {
    id,
    stdin,
    stdout,
    stderr: terminal ? null : stderr,
    exited: exited.promise,
    signal: signal => send({ type: 'signal', signal }),
    resize: (rows, columns) => send({ type: 'resize', rows, columns }),
    stop: async () => {
      send({ type: 'stop' })
      await record.promise.catch(() => {})
    },
  }
  return { sandbox, record: record.promise }
}

function encodeRequest(request: RunRequest, close: () => void): Buffer {
  try {
    return encodeFrame({ type: 'json', value: request })
  } catch {
    close()
    throw clrkError('CLRK_ARGUMENT_INVALID', {
      argument: 'this run',
      reason: `its command, manifests and environment are larger than ${LIMITS.frameBytes} bytes`,
      fix: 'Start it from a smaller environment (env -i).',
    })
  }
}

async function upgrade(socketPath: string): Promise<{ socket: Socket; head: Buffer }> {
  const headers = { connection: 'Upgrade', upgrade: 'clrk-run' }
  const request = httpRequest({ socketPath, path: '/v1/run', headers, agent: false })
  request.end()
  const upgraded = once(request, 'upgrade') as Promise<[IncomingMessage, Socket, Buffer]>
  const refused = once(request, 'response').then(() => {
    request.destroy()
    throw new Error('it refused the run')
  })
  const [, socket, head] = await Promise.race([upgraded, refused])
  return { socket, head }
}
