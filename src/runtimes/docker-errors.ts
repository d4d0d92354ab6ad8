/** An engine's failures in our words. What it says itself is kept: it names the path, the image or the limit. */
import { clrkError, isClrkError, messageOf } from '../errors.ts'

/** Waits for the answer to a request; `step` is what it was for, `engine` the socket's path. Rejects with a ClrkError. */
export async function ask<T>(engine: string, step: string, request: Promise<T>): Promise<T> {
  try {
    return await request
  } catch (error) {
    throw engineError(engine, step, error)
  }
}

/** CLRK_ENGINE_UNAVAILABLE where there was no answer, CLRK_SANDBOX_FAILED where it was no. */
export function engineError(engine: string, step: string, error: unknown): Error {
  if (isClrkError(error)) return error
  if (statusOf(error) !== null) {
    return clrkError('CLRK_SANDBOX_FAILED', { step, reason: engineWords(error), fix: 'Mend what the engine names.' })
  }
  const code = codeOf(error)
  if (code === 'EACCES' || code === 'EPERM') {
    const fix = 'Run the same command with sudo.'
    return clrkError('CLRK_ENGINE_UNAVAILABLE', { engine, reason: 'this user may not use its socket', fix })
  }
  const nobody = code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK'
  return clrkError('CLRK_ENGINE_UNAVAILABLE', {
    engine,
    reason: nobody ? 'no engine answers there' : `it went away while ${step} (${messageOf(error)})`,
    fix: 'Start it (systemctl start docker), or name the socket of one: DOCKER_HOST=unix:///PATH',
  })
}

/** The HTTP status of an answer; null where there was none. */
export function statusOf(error: unknown): number | null {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : null
}

/** What the engine said, without what dockerode puts around it. */
export function engineWords(error: unknown): string {
  return messageOf(error)
    .replace(/^\(HTTP code \d+\) [^-]*- /, '')
    .replace(/\.$/, '')
    .slice(0, 1_000)
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error ? String(error.code) : null
}
