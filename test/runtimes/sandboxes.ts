/**
 * Real sandboxes for the tests of this folder: as root, by bwrap, in a network namespace that leads nowhere.
 *
 * Importing this file puts the process into a mount namespace of its own, as the worker's launcher does, by starting
 * it over: what is mounted here is gone with it.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { unmount } from '../../src/kernel/mounts.ts'
import { closeDescriptor, createNetworkNamespace, mountTmpfs } from '../../src/kernel/syscalls.ts'
import { createLocalRuntime, type LocalRuntime } from '../../src/runtimes/local.ts'
import type { RunningSandbox, SandboxExit, SandboxSpec } from '../../src/runtimes/runtime.ts'

if (process.env.CLRK_TEST_MOUNTS === undefined) {
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve?.('/usr/bin/unshare', ['unshare', '--mount', '--propagation', 'slave', ...again], {
    ...process.env,
    CLRK_TEST_MOUNTS: '1',
  })
}

export const STATE_ID = `t${process.pid.toString(36).padStart(7, '0')}`
/** Everything below is on a tmpfs of this process alone, reachable by any uid. */
export const SCRATCH = mkdtempSync(join(process.env.CLRK_TEST_SCRATCH ?? tmpdir(), 'clrk-runtimes-'))
// A child of the test that is killed leaves its own in here.
process.env.CLRK_TEST_SCRATCH = SCRATCH
mountTmpfs(SCRATCH, 256 * 1024 * 1024)
const staging = join(SCRATCH, 'staging')
mkdirSync(staging)

const netns = createNetworkNamespace()
export const NETNS = { path: `/proc/${process.pid}/fd/${netns}` }
export const runtime: LocalRuntime = createLocalRuntime({ stateId: STATE_ID, state: join(SCRATCH, 'state'), staging })
process.on('exit', () => {
  closeDescriptor(netns)
  unmount(SCRATCH)
  rmdirSync(SCRATCH)
})

let count = 0

/** The least that a sandbox needs, with a memory of 256 MiB; `change` says what differs. */
export function specOf(argv: readonly [string, ...string[]], change: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    id: `box-${process.pid}-${count++}`,
    argv,
    environment: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/home/caller', LANG: 'C.UTF-8' },
    workingDirectory: '/home/caller',
    user: { uid: 1000, gid: 1000 },
    home: '/home/caller',
    workspace: null,
    readOnly: [],
    trust: { binds: [], environment: {} },
    limits: { memoryBytes: 256 * 1024 * 1024, cpus: 2, pids: 200 },
    stdio: { kind: 'pipes' },
    ...change,
  }
}

/** Starts a sandbox that the end of the test ends. */
export async function startSandbox(t: TestContext, spec: SandboxSpec): Promise<RunningSandbox> {
  const sandbox = await runtime.start(spec, NETNS)
  t.after(() => sandbox.stop())
  return sandbox
}

export type Ran = { readonly stdout: string; readonly stderr: string; readonly exit: SandboxExit }

/** Runs a command to its end with an empty standard input. */
export async function run(
  t: TestContext,
  argv: readonly [string, ...string[]],
  change: Partial<SandboxSpec> = {},
): Promise<Ran> {
  const sandbox = await startSandbox(t, specOf(argv, change))
  sandbox.stdin.end()
  const [stdout, stderr, exit] = await Promise.all([
    readAll(sandbox.stdout),
    sandbox.stderr === null ? '' : readAll(sandbox.stderr),
    sandbox.exited,
  ])
  return { stdout, stderr, exit }
}

export async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Reads until the text so far matches; fails with that text if it ends before. */
export async function readUntil(stream: Readable, pattern: RegExp): Promise<string> {
  let text = ''
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += chunk
    if (pattern.test(text)) return text
  }
  throw new Error(`${pattern} is not in ${JSON.stringify(text)}`)
}

/** A shell command inside. */
export const sh = (script: string): readonly [string, ...string[]] => ['/bin/sh', '-c', script]

/** The host's processes in a cgroup whose path holds `name`: of one sandbox by its id, of a worker by its state id. */
export function processesOf(name: string): readonly { readonly pid: number; readonly uid: number }[] {
  return readdirSync('/proc').flatMap(pid => {
    try {
      if (!/^\d+$/.test(pid) || !readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(name)) return []
      const uid = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return [{ pid: Number(pid), uid: Number(uid) }]
    } catch {
      return [] // gone meanwhile
    }
  })
}
