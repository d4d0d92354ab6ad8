/**
 * The launcher chain of a local sandbox, in one process that is replaced four times:
 *
 *   /bin/sh   joins the cgroups, sets the rlimits
 *   nsenter   enters the network namespace and the user namespace, as whose uid 0 it goes on
 *   bwrap     makes the other namespaces and the mounts, then stays as the parent of all inside
 *   setsid, the gate, the agent   inside (bwrap-spec.ts)
 *
 * It starts from an empty environment and with no descriptor but those named here (T127, T129).
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { Duplex, Readable } from 'node:stream'
import { clrkError } from '../errors.ts'
import { closeAllOnExec } from '../kernel/descriptors.ts'
import type { LocalTools } from './local-tools.ts'
import type { SandboxExit } from './runtime.ts'

export type Launch = {
  readonly tools: LocalTools
  /** Paths of `cgroup.procs` files to join. */
  readonly cgroups: readonly string[]
  /** Paths of namespaces. */
  readonly netns: string
  readonly userns: string
  /** Descriptors of the files with bwrap's arguments and its filter. */
  readonly arguments: number
  readonly seccomp: number
  /** The command inside, gate included. */
  readonly command: readonly string[]
  /** The agent's descriptors 0 to 2. */
  readonly stdio: readonly [number, number, number]
}

/** Numbers of the launcher's descriptors; the gate closes all of them. */
export const LAUNCHER = { control: 3, arguments: 4, seccomp: 5, status: 6 } as const

export type Launched = {
  /** Process 1 of the sandbox, as this process sees it: killing it kills all. */
  readonly init: number
  /** Lets the agent go. */
  readonly open: () => void
  readonly exited: Promise<SandboxExit>
}

/**
 * Resolves when the gate waits, so every step has worked, or rejects with CLRK_SANDBOX_FAILED; `complaint` then reads
 * what the chain printed. The descriptors in `launch` may be closed once this has returned its promise.
 */
export async function launch(launch: Launch, complaint: () => Promise<string>): Promise<Launched> {
  const child = start(launch)
  const exited = exitOf(child)
  const ends: readonly unknown[] = child.stdio // its type knows five
  const control = ends[LAUNCHER.control]
  const status = ends[LAUNCHER.status]
  if (!(control instanceof Duplex) || !(status instanceof Readable)) throw new Error('spawn made no pipes')
  control.on('error', () => {}) // the gate is gone: `exited` says so
  const init = initProcess(status)
  const ready = once(control, 'data').then(() => true)
  if (!(await Promise.race([ready, exited.then(() => false)]))) {
    throw clrkError('CLRK_SANDBOX_FAILED', {
      step: 'building it with bubblewrap',
      reason: (await complaint()) || 'the launcher ended without a word',
      fix: 'Check that the named paths exist and that user namespaces are allowed on this host.',
    })
  }
  return {
    init: await init,
    open: () => {
      control.end('\n')
      control.resume()
    },
    exited,
  }
}

function start({ tools, cgroups, netns, userns, command, stdio, ...descriptors }: Launch): ChildProcess {
  const chain = [
    ...[tools.nsenter, `--net=${netns}`, `--user=${userns}`, '--setuid', '0', '--setgid', '0', '--'],
    ...[tools.bwrap, '--args', `${LAUNCHER.arguments}`, '--', ...command],
  ]
  const pipes: StdioOptions = [...stdio, 'pipe', descriptors.arguments, descriptors.seccomp, 'pipe']
  closeAllOnExec()
  return spawn('/bin/sh', ['-c', JOIN, 'clrk', ...cgroups, '--', ...chain], {
    cwd: '/',
    env: {},
    // A session of its own: a Ctrl-C at the worker's terminal is the worker's to answer.
    detached: true,
    stdio: pipes,
  })
}

/** `ulimit -n` may be refused only because the limit is lower already. */
const JOIN = `while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift
ulimit -c 0; ulimit -n 65536 2>/dev/null; exec "$@"`

/** bwrap reports `{"child-pid": N, …}` before it builds; 0 if it ended before that. Read to the end, or it would fail. */
function initProcess(status: Readable): Promise<number> {
  return new Promise(resolve => {
    let text = ''
    status.on('data', (chunk: Buffer) => {
      text += chunk
      const pid = /"child-pid":\s*(\d+)/.exec(text)?.[1]
      if (pid !== undefined) resolve(Number(pid))
    })
    status.on('error', () => resolve(0))
    status.on('end', () => resolve(0))
  })
}

/** bwrap ends as the agent did, a signal as 128 + its number: as a shell tells it. */
function exitOf(child: ChildProcess): Promise<SandboxExit> {
  return new Promise(resolve => {
    child.on('error', () => resolve({ code: 127, signal: null }))
    child.on('exit', (code, signal) => {
      const name = signal ?? signalNamed((code ?? 0) - 128)
      resolve(name === null ? { code: code ?? 0, signal: null } : { code: null, signal: name })
    })
  })
}

function signalNamed(number: number): NodeJS.Signals | null {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return (found?.[0] as NodeJS.Signals | undefined) ?? null
}
