/**
 * The worker's control socket: HTTP/1.1 with JSON over a unix socket that only its owner can open.
 *
 *   GET  /v1/status   WorkerStatus
 *   POST /v1/apply    ApplyRequest → ApplyResult
 *   POST /v1/secret   SecretInput → {keys}
 *   GET  /v1/watch    WorkerEvents as JSON Lines until the client goes
 *   GET  /v1/run      upgrade to `clrk-run`: frames (frames.ts), see serve-run.ts
 *
 * An error is its status and `{"fault": {code, details}}`. Every open connection is a client: one that goes ends
 * its run. No answer ever holds a secret.
 */
import { once } from 'node:events'
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { clrkError, describe } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { WorkerControl } from '../worker/control.ts'
import { applyRequest, faultOf, parseRequest, secretInput } from './schemas.ts'
import { serveRun } from './serve-run.ts'
import { shortPath } from './socket-path.ts'

export type ControlServer = {
  /** Connections that are open now. */
  readonly clients: () => number
  /** From now on nobody can join: the first step of ending, so that a newcomer never lands on a worker that is leaving. */
  readonly stopListening: () => void
  /** Ends the watches and, after at most `CLOSE_MS`, every connection; the socket is gone when it resolves. */
  readonly close: () => Promise<void>
}

/**
 * Serves `control` at `path`, which replaces a socket that a dead worker left there. `onClients` hears the number of
 * open connections whenever it changes. The caller holds the lock of the state directory. Rejects as listen(2) fails.
 *
 * Call `control.shutdown()` before `close()`: what it still says then reaches who watches.
 */
export async function serveControl(
  control: WorkerControl,
  path: string,
  onClients: (count: number) => void = () => {},
): Promise<ControlServer> {
  const sockets = new Set<Socket>()
  const runs = new Set<Promise<void>>()
  const watches = new Set<ServerResponse>()
  const server = createServer((request, response) => {
    if (request.method === 'GET' && request.url === '/v1/watch') return watch(control, response, watches)
    void answer(control, request, response)
  })
  // Only the owner gets here: no client is ever cut off for being slow.
  Object.assign(server, { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0, timeout: 0 })
  server.on('connection', socket => {
    sockets.add(socket)
    onClients(sockets.size)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      onClients(sockets.size)
    })
  })
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (request.url !== '/v1/run' || request.headers.upgrade !== 'clrk-run') return socket.destroy()
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: clrk-run\r\n\r\n')
    const run = serveRun(control, socket, head).finally(() => runs.delete(run))
    runs.add(run)
  })

  const short = shortPath(path)
  rmSync(short.path, { force: true })
  // bind(2) happens inside listen(), so the socket is never open to others. 0077 and not 0177: this process may make
  // a directory on another thread meanwhile.
  const before = process.umask(0o077)
  server.listen(short.path)
  process.umask(before)
  await once(server, 'listening')
  chmodSync(short.path, 0o600)

  const closed = once(server, 'close')
  const stopListening = () => {
    if (server.listening) server.close()
  }
  const end = async () => {
    stopListening()
    const late = AbortSignal.timeout(CLOSE_MS)
    await Promise.race([Promise.all(runs), once(late, 'abort')])
    for (const response of watches) response.end()
    for (const socket of sockets) socket.destroySoon()
    await Promise.race([closed, once(late, 'abort')])
    for (const socket of sockets) socket.destroy()
    await closed
    short.close()
  }
  let ended: Promise<void> | null = null
  return {
    clients: () => sockets.size,
    stopListening,
    close: () => {
      ended ??= end()
      return ended
    },
  }
}

async function answer(control: WorkerControl, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const result = await dispatch(control, request)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result))
  } catch (error) {
    const fault = faultOf(error)
    response.writeHead(describe(fault).status, { 'content-type': 'application/json', connection: 'close' })
    response.end(JSON.stringify({ fault }))
  }
}

async function dispatch(control: WorkerControl, request: IncomingMessage): Promise<unknown> {
  switch (`${request.method} ${request.url}`) {
    case 'GET /v1/status':
      return control.status()
    case 'POST /v1/apply':
      return control.apply(parseRequest(applyRequest, await bodyOf(request)))
    case 'POST /v1/secret':
      return control.setSecret(parseRequest(secretInput, await bodyOf(request)))
    default:
      throw invalidRequest('this worker has no such call')
  }
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    chunks.push(chunk)
    length += chunk.length
    if (length > LIMITS.controlBodyBytes) throw invalidRequest(`it is larger than ${LIMITS.controlBodyBytes} bytes`)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw invalidRequest('it is not JSON') // the parser's own message quotes the text, which may hold a key
  }
}

function watch(control: WorkerControl, response: ServerResponse, watches: Set<ServerResponse>): void {
  let dropped = 0
  const write = (event: unknown) => response.write(`${JSON.stringify(event)}\n`)
  response.writeHead(200, { 'content-type': 'application/jsonl' }).flushHeaders()
  const stop = control.watch(event => {
    if (response.writableLength > LIMITS.watchQueueBytes) {
      dropped += 1
      return
    }
    if (dropped > 0) write({ type: 'log', level: 'warn', message: `${dropped} events dropped: the reader is too slow` })
    dropped = 0
    write(event)
  })
  watches.add(response)
  response.on('close', () => {
    stop()
    watches.delete(response)
  })
}

function invalidRequest(reason: string) {
  return clrkError('CLRK_ARGUMENT_INVALID', {
    argument: 'request',
    reason,
    fix: 'Use a command line of the same version as the worker.',
  })
}

/** What is still under way when the worker ends has this long. */
const CLOSE_MS = 1_000
