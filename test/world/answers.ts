/** What the stand-ins' handlers share. */
import type { ServerResponse } from 'node:http'

export type Origins = {
  /** Directory with bare repositories, for the git origin. */
  readonly repositories: string
  /** A credential that the provider and the git origin take. */
  readonly isRightKey: (value: string | undefined) => boolean
}

export function json(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value)
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body)
}

export function parsed(body: Buffer): Record<string, unknown> {
  try {
    return JSON.parse(body.toString('utf8')) as Record<string, unknown>
  } catch {
    return {}
  }
}
