/** The other end of the control socket (server.ts), typed. Errors come back as the worker threw them. */
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { createConnection } from 'node:net'
import { createInterface } from 'node:readline'
import { clrkError, ERROR_CODES, isClrkError, messageOf } from '../errors.ts'
import type {
  ApplyRequest,
  ApplyResult,
  RunRequest,
  SecretInput,
  StartedRun,
  WorkerEvent,
  WorkerStatus,
} from '../worker/control.ts'
import { openRun } from './client-run.ts'
import { controlSocket, shortPath } from './socket-path.ts'

/** `ended`: no more events come, because of `stop` or because the worker has gone. */
export type Watch = { readonly stop: () => void; readonly ended: Promise<void> }

export type Client = {
  readonly status: () => Promise<WorkerStatus>
  readonly apply: (request: ApplyRequest) => Promise<ApplyResult>
  readonly setSecret: (secret: SecretInput) => Promise<{ readonly keys: readonly string[] }>
  /** Resolves once the agent runs. Its streams have to be read; aborting ends the sandbox. */
  readonly run: (request: RunRequest, abort: AbortSignal, progress?: (line: string) => void) => Promise<StartedRun>
  /** Resolves once every later event will reach `listener`. */
  readonly watch: (listener: (event: WorkerEvent) => void) => Promise<Watch>
  /** Resolves when the worker has gone, or on `close`. */
  readonly gone: Promise<void>
  readonly close: () => void
}

/**
 * Joins the worker of the state directory `state`, and counts as its client until `close`.
 * Rejects with CLRK_WORKER_GONE where none answers.
 */
export async function connect(state: string): Promise<Client> {
  const lost = (error: unknown) => {
    const { code } = error as NodeJS.ErrnoException
    const absent = code === 'ENOENT' || code === 'ECONNREFUSED'
    return clrkError('CLRK_WORKER_GONE', { state, reason: absent ? 'none is running' : messageOf(error) })
  }
  let short: ReturnType<typeof shortPath>
  try {
    short = shortPath(controlSocket(state))
  } catch (error) {
    throw isClrkError(error) ? error : lost(error)
  }
  const presence = createConnection({ path: short.path })
  const gone = new Promise<void>(resolve => presence.once('close', () => resolve()))
  const close = () => presence.destroy()
  void gone.then(short.close)
  presence.resume()

  const call = async (method: string, path: string, body?: unknown): Promise<IncomingMessage> => {
    const headers = { connection: 'close', ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    const request = httpRequest({ socketPath: short.path, method, path, headers, agent: false })
    request.end(body === undefined ? undefined : JSON.stringify(body))
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return response
  }
  const json = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const { ok, text } = await call(method, path, body)
      .then(async response => ({ ok: response.statusCode === 200, text: await textOf(response) }))
      .catch(error => {
        throw lost(error)
      })
    if (ok) return JSON.parse(text)
    throw faultToError(JSON.parse(text))
  }

  const client: Client = {
    status: () => json('GET', '/v1/status'),
    apply: request => json('POST', '/v1/apply', request),
    setSecret: secret => json('POST', '/v1/secret', secret),
    run: (request, abort, progress = () => {}) =>
      openRun({ socketPath: short.path, request, abort, progress, lost, faultToError }),
    watch: async listener => {
      const response = await call('GET', '/v1/watch').catch(error => {
        throw lost(error)
      })
      response.on('error', () => {}) // the worker went: `gone` says so
      const lines = createInterface({ input: response })
      lines.on('error', () => {}) // it emits its input's a second time
      lines.on('line', line => {
        if (line.endsWith('}')) listener(JSON.parse(line)) // else the worker died in the middle of it
      })
      const ended = new Promise<void>(resolve => response.once('close', () => resolve()))
      return { ended, stop: () => response.destroy() }
    },
    gone,
    close,
  }
  try {
    await once(presence, 'connect')
    presence.on('error', close)
    await client.status() // a worker that is just ending still accepts
    return client
  } catch (error) {
    close()
    throw lost(error)
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/** The error that a worker reported; a code that this version does not know becomes CLRK_INTERNAL. */
export function faultToError(value: unknown): Error {
  const fault = (value as { fault?: { code?: unknown; details?: unknown } } | null)?.fault
  const code = ERROR_CODES.find(known => known === fault?.code)
  if (code === undefined) return clrkError('CLRK_INTERNAL', { reason: `the worker answered ${String(fault?.code)}` })
  return clrkError(code, (fault?.details ?? {}) as Parameters<typeof clrkError>[1])
}
