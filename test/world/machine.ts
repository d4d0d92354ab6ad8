/**
 * A pretend machine: a network, mount and process namespace, held by a process that ends when its stdin closes, so
 * that nothing of it outlives the test, however the test ends. Everything that runs on it is seen below its /proc.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'

export type Machine = {
  /** Process id, as the real host counts, of the machine's process 1. */
  readonly init: number
  readonly spawn: (argv: readonly string[], options?: RunOptions) => MachineProcess
  /** Runs to the end; rejects only when it takes longer than `timeoutMs`. */
  readonly run: (argv: readonly string[], options?: RunOptions) => Promise<Finished>
  /** All processes on it (sandboxes' too), but its init; none once it is closed. */
  readonly processes: () => readonly ProcessInfo[]
  readonly close: () => Promise<void>
}

export type RunOptions = {
  /** Replaces the default environment (PATH, HOME, LANG) where given. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Written to stdin, which then ends. Without it stdin is empty; `'open'` keeps it open (spawn only). */
  readonly input?: string
  readonly timeoutMs?: number
}

export type Finished = {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export type MachineProcess = {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** What it has written until now. */
  readonly written: () => { readonly stdout: string; readonly stderr: string }
  /** Resolves once `pattern` is in its output; rejects when it ends without. */
  readonly saw: (pattern: RegExp) => Promise<void>
  readonly exited: Promise<Finished>
  /** To the command itself (not to its children). */
  readonly kill: (signal: NodeJS.Signals) => void
}

export type ProcessInfo = {
  /** As process 1 of the machine counts. */
  readonly pid: number
  readonly argv: readonly string[]
  readonly uid: number
  readonly parent: number
  /** Inode of its network namespace. */
  readonly netns: string
}

/** `setup`: a shell script that runs first, as process 1, with `parameters` as its $1, $2, … */
export async function startMachine(setup: string, parameters: readonly string[], home: string): Promise<Machine> {
  const isolate = ['--net', '--mount', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc']
  const script = `set -e; ${setup}\necho ready; set +e; cat >/dev/null`
  const holder = spawn('unshare', [...isolate, 'sh', '-c', script, 'sh', ...parameters], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: SYSTEM_PATH },
  })
  const ended = once(holder, 'exit')
  const first = await Promise.race([once(holder.stdout, 'data'), ended.then(() => null)])
  if (first === null) throw new Error('the machine of a test world did not come up')
  const init = onlyChild(holder)
  const environment = { PATH: SYSTEM_PATH, HOME: home, LANG: 'C.UTF-8' }

  function start(argv: readonly string[], { env = environment, cwd = '/', input }: RunOptions = {}): MachineProcess {
    const enter = ['--target', String(init), '--net', '--mount', '--pid', '--', 'sh', '-c', 'cd "$0" && exec "$@"', cwd]
    const child = spawn('nsenter', [...enter, ...argv], { stdio: 'pipe', env: { ...env } })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', text => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', text => (stderr += text))
    child.stdin.on('error', () => {})
    if (input !== 'open') child.stdin.end(input)
    const exited = new Promise<Finished>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    })
    return {
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      written: () => ({ stdout, stderr }),
      saw: pattern =>
        new Promise((resolve, reject) => {
          const look = () => (pattern.test(stdout) || pattern.test(stderr) ? resolve() : undefined)
          child.stdout.on('data', look)
          child.stderr.on('data', look)
          exited.then(() => reject(new Error(`ended without ${pattern}:\n${stdout}\n${stderr}`)), reject)
          look()
        }),
      exited,
      kill: signal => process.kill(onlyChild(child), signal),
    }
  }

  return {
    init,
    spawn: start,
    run: async (argv, options = {}) => {
      const running = start(argv, options)
      const timeoutMs = options.timeoutMs ?? 60_000
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => {
        const { stdout, stderr } = running.written()
        running.kill('SIGKILL')
        reject(new Error(`${argv.join(' ').slice(0, 300)}: not done after ${timeoutMs} ms\n${stdout}\n${stderr}`))
      }, timeoutMs)
      return Promise.race([running.exited, late]).finally(() => clearTimeout(timer))
    },
    processes: () => processesBelow(`/proc/${init}/root/proc`),
    close: async () => {
      holder.kill('SIGKILL')
      if (holder.exitCode === null && holder.signalCode === null) await ended
    },
  }
}

function processesBelow(proc: string): readonly ProcessInfo[] {
  if (!existsSync(proc)) return []
  return readdirSync(proc).flatMap(entry => {
    if (!/^\d+$/.test(entry) || entry === '1') return []
    try {
      const status = readFileSync(`${proc}/${entry}/status`, 'latin1')
      const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
      // A zombie, and the holder's own `cat`, are nothing that a program left behind.
      if (/^State:\s+Z/m.test(status) || (field('PPid') === 1 && /^Name:\s+cat$/m.test(status))) return []
      return [
        {
          pid: Number(entry),
          argv: readFileSync(`${proc}/${entry}/cmdline`, 'latin1').split('\0').slice(0, -1),
          uid: field('Uid'),
          parent: field('PPid'),
          netns: readlinkSync(`${proc}/${entry}/ns/net`),
        },
      ]
    } catch {
      return [] // it ended meanwhile
    }
  })
}

/** The process that `unshare --fork` or `nsenter --pid` forked: the command itself. */
function onlyChild({ pid }: ChildProcess): number {
  const child = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')[0])
  if (!child) throw new Error(`process ${pid} has no child yet, or it has ended`)
  return child
}

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
