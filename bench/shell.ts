/**
 * A shell in which load runs: in a clrk sandbox, or in a plain namespace with the same seccomp profile and cgroup
 * limits. It takes one line of shell at a time on its standard input, and stays.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** What runs inside, as `/bin/sh -c`. */
export const LOOP = 'while read -r line; do eval "$line"; echo "done $?"; done'

export type Shell = {
  /**
   * Runs `command` and gives each line that it prints to `onLine`; after one that says it is ready, the promise of
   * `onLine` is waited for and the command is told to go on. Rejects unless it ends with 0.
   */
  readonly run: (command: string, onLine: (line: string) => void | Promise<void>) => Promise<void>
  /** Ends it; the lines that came after its last command (a run's record). */
  readonly close: () => Promise<readonly string[]>
}

export const READY = '{"ready":true}'

export async function openShell(child: ChildProcess, what: string): Promise<Shell> {
  const { stdin, stdout, stderr } = child
  if (stdin === null || stdout === null || stderr === null) throw new Error('bench: a shell without pipes')
  let complaint = ''
  stderr.on('data', text => (complaint += text))
  stdin.on('error', () => {}) // 'exit' follows
  const exited = once(child, 'close')
  const rest: string[] = []
  let current: { line: (line: string) => void; fail: (error: Error) => void } | null = null
  createInterface({ input: stdout }).on('line', line => (current === null ? rest.push(line) : current.line(line)))
  exited.then(() => current?.fail(new Error(`bench: the shell of ${what} ended: ${complaint}`)))

  const run: Shell['run'] = (command, onLine) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let tail = ''
    const timer = setTimeout(() => reject(new Error(`bench: ${what}: not done: ${command}\n${complaint}`)), PATIENCE_MS)
    const settle = (error: Error | null) => {
      clearTimeout(timer)
      current = null
      if (error === null) resolve()
      else reject(error)
    }
    const handle = async (line: string) => {
      const status = /^done (\d+)$/.exec(line)?.[1]
      if (status !== undefined) {
        return settle(status === '0' ? null : loadFailed(`bench: ${what}: ${command}: ${status}\n${tail}${complaint}`))
      }
      tail = `${tail}${line}\n`.slice(-2_000)
      await onLine(line)
      if (line === READY) stdin.write('go\n')
    }
    current = { line: line => void handle(line).catch(settle), fail: settle }
    stdin.write(`${command}\n`)
    return promise
  }
  await run('true', () => {})
  return {
    run,
    close: async () => {
      stdin.end()
      await exited
      return rest
    },
  }
}

/** The load of one contender went wrong: others can go on, in the same shell, too. */
export function loadFailed(message: string): Error {
  return new Error(message, { cause: LOAD_FAILED })
}

export function isLoadFailed(error: unknown): error is Error {
  return error instanceof Error && error.cause === LOAD_FAILED
}

const LOAD_FAILED = Symbol('load failed')
const PATIENCE_MS = 90_000
