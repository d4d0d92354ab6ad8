/**
 * The worker as a process of this command line: started in a session and a mount namespace of its own, so that Ctrl-C
 * reaches only us and its mounts end with it; its environment is PATH (ours first), HOME, LANG and where the
 * engine is, so no key of the caller is in it.
 *
 * `<state>/worker.log` takes what it prints. On descriptor 3 it says once, as a line of JSON, that it is ready or why not.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, connect, faultToError } from '../api/client.ts'
import { controlSocket, shortPath } from '../api/socket-path.ts'
import { clrkError, isClrkError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { TOOL_PATH } from '../plumbing/tool-path.ts'

export type WorkerProcess = {
  readonly pid: number
  /** SIGTERM, and waits until it has gone, with everything that it started. */
  readonly stop: () => Promise<void>
}

/** Rejects with CLRK_NOT_ROOT: before anything starts. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0) throw clrkError('CLRK_NOT_ROOT')
}

/**
 * Starts a worker and resolves when it serves. `ephemeral`: it ends by itself shortly after its last client went.
 * Rejects with what the worker said: CLRK_STATE_BUSY where another one lives.
 */
export async function startWorker({ state, ephemeral }: { state: string; ephemeral: boolean }): Promise<WorkerProcess> {
  const extension = extname(import.meta.filename) // .ts in a clone, .js installed
  const main = join(import.meta.dirname, `../api/main${extension}`)
  const log = openLog(state)
  const path = [TOOL_PATH, process.env.PATH].filter(Boolean).join(':')
  const options = ['--state', state, ...(ephemeral ? ['--ephemeral'] : [])]
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'slave', '--', process.execPath, ...NODE, main, ...options],
    {
      cwd: '/',
      detached: true,
      env: {
        ...pick(process.env, ['HOME', 'LANG', 'DOCKER_HOST', 'DOCKER_CONFIG', 'NODE_COMPILE_CACHE']),
        PATH: path,
      },
      stdio: ['ignore', log, log, 'pipe'],
    },
  )
  closeSync(log)
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  try {
    await once(child, 'spawn')
  } catch {
    throw clrkError('CLRK_TOOL_MISSING', { tool: 'unshare', path, package: 'util-linux' })
  }
  const answer = await text(child.stdio[3] as Readable)
  await readyOrThrow(answer, child, exited, state)
  child.unref()
  return {
    pid: child.pid ?? 0,
    stop: async () => {
      child.ref()
      child.kill('SIGTERM')
      await exited
    },
  }
}

/** The worker that runs with `state`, or a new ephemeral one; safe against any number that do the same at once. */
export async function joinWorker(state: string): Promise<Client> {
  const deadline = Date.now() + JOIN_MS
  for (;;) {
    try {
      return await connect(state)
    } catch (error) {
      if (!isClrkError(error) || error.fault.code !== 'CLRK_WORKER_GONE' || Date.now() > deadline) throw error
    }
    try {
      await startWorker({ state, ephemeral: true })
    } catch (error) {
      // Somebody else's is just starting or just ending: join it, or take its place.
      if (!isClrkError(error) || error.fault.code !== 'CLRK_STATE_BUSY' || Date.now() > deadline) throw error
      await delay(JOIN_RETRY_MS)
    }
  }
}

async function readyOrThrow(answer: string, child: ChildProcess, exited: Promise<void>, state: string): Promise<void> {
  const said = parse(answer)
  if (said?.ready === true) return
  await exited
  if (said?.error !== undefined) throw faultToError({ fault: said.error })
  const reason = `it ended with ${child.signalCode ?? child.exitCode} while starting, see ${join(state, 'worker.log')}`
  throw clrkError('CLRK_WORKER_GONE', { state, reason })
}

function parse(line: string): { ready?: unknown; error?: unknown } | null {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}

function openLog(state: string): number {
  const path = join(state, 'worker.log')
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 })
    shortPath(controlSocket(state)).close() // a log in somebody else's directory could be a link to any file
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (size > LIMITS.workerLogBytes) renameSync(path, `${path}.1`)
    return openSync(path, 'a', 0o600)
  } catch (error) {
    if (isClrkError(error)) throw error
    const { code } = error as NodeJS.ErrnoException
    throw clrkError('CLRK_ARGUMENT_INVALID', {
      argument: `--state ${state}`,
      reason: `it cannot be written (${code})`,
      fix: 'Name a directory on a local disk that root may write.',
    })
  }
}

function pick(environment: NodeJS.ProcessEnv, names: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(names.flatMap(name => (environment[name] === undefined ? [] : [[name, environment[name]]])))
}

/** No signal opens an inspector on loopback: who speaks to it reads the CA's key. */
const NODE = ['--disable-sigusr1']

/** How long joining a worker that is starting or ending is tried. */
const JOIN_MS = 15_000
const JOIN_RETRY_MS = 50
