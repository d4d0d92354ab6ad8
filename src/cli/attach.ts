/**
 * Ties a run in a sandbox to this process, so that it behaves as if it had been started directly: bytes as they come,
 * signals passed on, the terminal raw while it has an own one inside, the exit status or the death by signal ours.
 */
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from '../api/client.ts'
import { makeRaw } from '../kernel/terminal.ts'
import type { RunningSandbox } from '../runtimes/runtime.ts'
import type { RunRequest } from '../worker/control.ts'
import { descriptorWriter } from './descriptor-writer.ts'
import { printable } from './render.ts'

/** A terminal where stdin and stdout are one and it is ours to read (a background job's is not), else pipes. */
export function callerTerminal(): RunRequest['stdio'] {
  if (!process.stdin.isTTY || !process.stdout.isTTY || !inForeground()) return { kind: 'pipes' }
  const [columns, rows] = process.stdout.getWindowSize()
  return { kind: 'terminal', rows, columns }
}

/**
 * Starts `request` on the worker that `join` finds and stays until it is over. `json`: the record is the last line on
 * stdout. Resolves to the exit status; does not return where a signal ended the program, or this process before it ran.
 */
export async function attach(join: () => Promise<Client>, request: RunRequest, json: boolean): Promise<number> {
  const abort = new AbortController()
  const terminal = request.stdio.kind === 'terminal'
  let deliver = (signal: NodeJS.Signals) => {
    abort.abort()
    if (signal !== 'SIGWINCH') dieBy(signal)
  }
  for (const signal of FORWARDED) process.on(signal, () => deliver(signal))

  const client = await join()
  const run = await client.run(request, abort.signal, line => process.stderr.write(`clrk: ${printable(line)}\n`))
  const { sandbox } = run
  let forwarded = 0
  deliver = signal => {
    if (signal === 'SIGWINCH' && terminal) {
      const [columns, rows] = process.stdout.getWindowSize()
      return sandbox.resize(rows, columns)
    }
    forwarded += 1
    sandbox.signal(signal)
  }
  if (terminal) rawTerminal()
  const drained = connectStreams(sandbox)
  const exit = await sandbox.exited
  // A program that a signal ended would not wait for whoever reads its pipe.
  await (exit.signal !== null && forwarded > 0 ? Promise.race([drained, delay(DRAIN_MS)]) : drained)
  restoreTerminal()
  if (json) process.stdout.write(`${JSON.stringify(await run.record)}\n`)
  else await Promise.race([run.record.catch(() => {}), delay(DRAIN_MS)])
  client.close()
  if (exit.signal !== null) await dieBy(exit.signal)
  return exit.code ?? 1
}

function connectStreams({ stdin, stdout, stderr }: RunningSandbox): Promise<unknown> {
  stdin.on('error', () => {})
  stdin.on('close', () => {
    if (!process.stdin.isTTY) process.stdin.destroy() // the program closed its end: so do we to whoever writes to us
  })
  process.stdin.on('error', () => stdin.end())
  if (process.stdin.isTTY && !inForeground()) stdin.end()
  else process.stdin.pipe(stdin)
  return Promise.all([drain(stdout, 1), stderr === null ? null : drain(stderr, 2)])
}

async function drain(source: Readable, descriptor: 1 | 2): Promise<void> {
  const sink = descriptorWriter(descriptor)
  sink.on('error', () => source.destroy()) // our reader went: the program's next write breaks its pipe, as it would
  source.pipe(sink)
  await finished(sink).catch(() => {})
}

/** Ends this process by `signal`, as a shell sees it; resolves only for one that does not end a process. */
async function dieBy(signal: NodeJS.Signals): Promise<void> {
  restoreTerminal()
  try {
    process.on(signal, () => {}) // setting and removing a handler brings the default back, also for SIGPIPE
    process.removeAllListeners(signal)
  } catch {
    // SIGKILL and SIGSTOP take no handler
  }
  process.kill(process.pid, signal)
  await delay(DRAIN_MS)
  process.exit(128 + constants.signals[signal])
}

let restore: (() => void) | null = null

function rawTerminal(): void {
  restore = makeRaw(0)
  process.on('exit', restoreTerminal)
}

function restoreTerminal(): void {
  restore?.()
  restore = null
}

/** Is our process group the terminal's (proc_pid_stat(5): pgrp, tpgid)? */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  const [, , pgrp, , , tpgid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return pgrp === tpgid
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const
const DRAIN_MS = 500
