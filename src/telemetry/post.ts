/**
 * POST to one OTLP/HTTP receiver (RFC 9112): one keep-alive connection, one request at a time. The receiver is the
 * operator's; what it answers is read as strictly as an upstream's all the same, and thrown away.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { bodyFraming, createBody, startBody, takeBody } from '../http1/body.ts'
import { FIELD_TEXT, isAll, TARGET, TOKEN } from '../http1/grammar.ts'
import { createResponseReader } from '../http1/head-reader.ts'
import { LIMITS } from '../limits.ts'

export type Post = {
  /**
   * Resolves with the status of the answer once all of it came and all of `payload` went; rejects where that takes
   * longer than LIMITS.telemetryExportMs or fails. On a connection that its receiver closed meanwhile it is tried anew.
   */
  readonly send: (path: string, payload: readonly Buffer[]) => Promise<number>
  readonly close: () => void
}

/** `endpoint`: its path is not used. Throws where a header could not stand in a head. */
export function createPost(endpoint: URL, headers: Readonly<Record<string, string>>): Post {
  const head = headOf(endpoint, headers)
  let idle: Socket | null = null

  const attempt = async (path: string, payload: readonly Buffer[]): Promise<number> => {
    const known = idle !== null && !idle.destroyed && idle.writable ? idle : null
    idle = null
    const socket = known ?? connect(endpoint)
    const answer = exchange(socket, `POST ${path} HTTP/1.1\r\n${head}`, payload)
    try {
      const { status, reusable } = await answer.done
      if (reusable) {
        idle = socket
        socket.unref()
      } else socket.destroy()
      return status
    } catch (error) {
      socket.destroy()
      if (known === null || answer.heard()) throw error
      return attempt(path, payload)
    }
  }
  return {
    send: attempt,
    close: () => idle?.destroy(),
  }
}

function connect(endpoint: URL): Socket {
  const host = endpoint.hostname.replace(/^\[|\]$/g, '')
  const secure = endpoint.protocol === 'https:'
  const port = endpoint.port === '' ? (secure ? 443 : 80) : Number(endpoint.port)
  const socket = secure
    ? connectTls({ host, port, ALPNProtocols: ['http/1.1'], ...(isIP(host) === 0 ? { servername: host } : {}) })
    : connectTcp({ host, port })
  return socket.setNoDelay(true)
}

function headOf({ host, protocol }: URL, headers: Readonly<Record<string, string>>): string {
  if (protocol !== 'http:' && protocol !== 'https:') throw new Error(`${protocol} is not http or https`)
  let head = 'Content-Type: application/json\r\n'
  for (const [name, value] of Object.entries(headers)) {
    if (/^content-type$/i.test(name)) continue
    if (!isAll(name, TOKEN) || (value !== '' && !isAll(value, FIELD_TEXT)) || OURS.test(name)) {
      throw new Error(`the header ${JSON.stringify(name)} cannot be sent with telemetry`)
    }
    head += `${name}: ${value}\r\n`
  }
  const named = Object.keys(headers).some(name => /^host$/i.test(name))
  return named ? head : `Host: ${host}\r\n${head}`
}

/** One request on `socket`. Everything that it adds to the socket it takes off again. */
function exchange(socket: Socket, head: string, payload: readonly Buffer[]) {
  const reader = createResponseReader()
  const body = createBody()
  let heard = false
  let status = 0
  let keepAlive = false

  const done = new Promise<{ status: number; reusable: boolean }>((resolve, reject) => {
    const settle = (error: Error | null) => {
      clearTimeout(timer)
      socket.off('data', data).off('end', end).off('error', settle).off('close', closed)
      socket.on('error', ignore)
      if (error !== null) reject(error)
      else if (socket.writableLength > 0) reject(new Error('it answered before it had read the request'))
      else resolve({ status, reusable: keepAlive })
    }
    const data = (chunk: Buffer) => {
      heard = true
      let rest = chunk
      while (status === 0) {
        const result = reader.push(rest)
        if (result.kind === 'more') return
        if (result.kind === 'error') return settle(new Error(String(result.details.reason)))
        rest = result.rest
        if (result.head.status < 200) continue
        status = result.head.status
        keepAlive = result.head.keepAlive
        startBody(body, bodyFraming(result.head, 'POST'))
      }
      const taken = takeBody(body, rest, 0, null)
      if (taken < 0) return settle(new Error(body.problem ?? ''))
      if (!body.done) return
      keepAlive &&= taken === rest.length
      settle(null)
    }
    const end = () => {
      if (status === 0 || body.framing !== 'until-close') return closed()
      keepAlive = false
      settle(null)
    }
    const closed = () => settle(new Error('the connection was closed before the answer was whole'))
    const timer = setTimeout(() => settle(new Error('there was no answer in time')), LIMITS.telemetryExportMs)
    socket.off('error', ignore)
    socket.on('data', data).on('end', end).on('error', settle).on('close', closed)
    socket.ref()
    socket.cork()
    let length = 0
    for (const part of payload) length += part.length
    socket.write(`${head}Content-Length: ${length}\r\n\r\n`, 'latin1')
    for (const part of payload) socket.write(part)
    socket.uncork()
  })
  return { done, heard: () => heard }
}

function ignore(): void {}

/** The request target of a URL. Throws where it could not stand in a request line. */
export function targetOf({ pathname, search }: URL): string {
  const target = `${pathname}${search}`
  if (!isAll(target, TARGET)) throw new Error('the path of the telemetry endpoint cannot be sent')
  return target
}

const OURS = /^(?:content-length|transfer-encoding|connection|keep-alive|expect|upgrade|trailer|te)$/i
