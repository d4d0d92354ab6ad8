/**
 * A private Docker engine, or Podman with CLRK_TEST_ENGINE=podman: its own socket, data and cgroups, no bridge and no
 * rules; nothing of the machine's own is touched. It runs wherever `start` starts it, which must be without a way out: a
 * missing image is looked for outside.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import Docker from 'dockerode'
import { pack } from 'tar-stream'
import { unmount } from '../../src/kernel/mounts.ts'
import { eventually } from './eventually.ts'

export type Engine = {
  readonly socket: string
  readonly docker: Docker
  /** Below this lies all that the engine keeps; `scratch` is for the tests. */
  readonly directory: string
  readonly scratch: string
  /** Ends the engine alone; its containers' shims go on, as after a crash. */
  readonly kill: () => Promise<void>
  /** Starts it again after `kill`. */
  readonly start: () => Promise<void>
  /** Ends it with all that it started, and removes what it kept. */
  readonly stop: () => Promise<void>
}

export type StartProcess = (argv: readonly [string, ...string[]]) => {
  readonly kill: (signal: NodeJS.Signals) => unknown
  readonly exited: Promise<unknown>
}

/** `data`: where it keeps images, for the caller to remove; without it they end with the engine. */
export async function startEngine(
  startProcess: StartProcess = startHere,
  { kind = ENGINE, data }: { readonly kind?: EngineKind; readonly data?: string } = {},
): Promise<Engine> {
  const directory = mkdtempSync(join(tmpdir(), 'engine-')) // short: a socket's path has 107 bytes
  const socket = join(directory, 'docker.sock')
  const kept = data ?? join(directory, 'data')
  const docker = new Docker({ socketPath: socket })
  let running: ReturnType<StartProcess> | null = null

  async function start(): Promise<void> {
    rmSync(join(directory, 'pid'), { force: true })
    running = startProcess((kind === 'podman' ? podman : dockerd)(directory, kept, socket))
    await eventually(() => docker.ping().catch(() => null))
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    running?.kill(signal)
    await running?.exited
    running = null
  }

  async function removeContainers(): Promise<void> {
    const all = await docker.listContainers({ all: true })
    await Promise.allSettled(all.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true })))
  }

  rmSync(join(kept, 'libpod'), { recursive: true, force: true }) // Podman's notes of where it ran before; images stay
  await start()
  if (data !== undefined) await removeContainers() // of one that was killed and not started again
  const scratch = mkdtempSync(join(directory, 'scratch-'))
  for (const path of [directory, scratch]) chmodSync(path, 0o755) // other users pass through to trust stores
  return {
    socket,
    docker,
    directory,
    scratch,
    kill: () => end('SIGKILL'),
    start,
    stop: async () => {
      // Some are going already; Podman removes no container while another is joined to it.
      for (let round = 0; running !== null && round < 2; round++) await removeContainers()
      // Asked to end, Docker waits a second for its containerd. And one that is killed while it starts a container forgets
      // the shim that it had just made.
      await end('SIGKILL')
      for (const pid of processesNaming(directory)) if (/^containerd/.test(nameOf(pid))) process.kill(pid, 'SIGKILL')
      await eventually(() => (processesNaming(directory).length === 0 ? true : null))
      removeCgroups(basename(directory))
      for (const path of [directory, kept]) unmountBelow(path) // what an engine that was killed had mounted
      rmSync(directory, { recursive: true })
    },
  }
}

function dockerd(directory: string, data: string, socket: string): readonly [string, ...string[]] {
  return [
    ...(['dockerd', '--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false'] as const),
    ...['--host', `unix://${socket}`, '--data-root', data, '--exec-root', join(directory, 'exec')],
    ...['--pidfile', join(directory, 'pid'), '--cgroup-parent', `/${basename(directory)}`, '--log-level', 'fatal'],
  ]
}

/** crun, which it prefers, fails on machines with cgroups of both versions. */
function podman(directory: string, data: string, socket: string): readonly [string, ...string[]] {
  const places = ['--root', data, '--runroot', join(directory, 'exec'), '--tmpdir', directory]
  const ways = ['--cgroup-manager', 'cgroupfs', '--runtime', 'runc', '--events-backend', 'file', '--log-level', 'fatal']
  const registries = join(directory, 'registries.conf')
  writeFileSync(registries, '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n') // as Docker takes it
  const settings = `CONTAINERS_REGISTRIES_CONF=${registries}`
  const here = ['env', '--chdir', directory, settings] as const // conmon leaves files where it is started
  return [...here, 'podman', ...places, ...ways, 'system', 'service', '--time', '0', `unix://${socket}`]
}

export type EngineKind = 'docker' | 'podman'

/** Where a test does not say which. */
export const ENGINE: EngineKind = process.env.CLRK_TEST_ENGINE === 'podman' ? 'podman' : 'docker'
export const isPodman = ENGINE === 'podman'

/** A file of an image: its text, what it links to, or bytes with a mode. */
export type ImageFile =
  | string
  | { readonly link: string }
  | { readonly bytes: Buffer; readonly mode?: number }
  | 'directory'

/** Imports an image of those files (paths without a leading slash). `changes`: Dockerfile instructions. */
export async function importImage(
  engine: Engine,
  name: string,
  files: Readonly<Record<string, ImageFile>>,
  changes: readonly string[] = [],
): Promise<void> {
  await importArchive(engine, name, imageArchive(files), changes)
}

/** A tar of those files. */
export function imageArchive(files: Readonly<Record<string, ImageFile>>): Readable {
  const archive = pack()
  for (const [path, file] of Object.entries(files)) {
    if (file === 'directory') archive.entry({ name: path, type: 'directory', mode: 0o755 })
    else if (typeof file === 'string') archive.entry({ name: path, mode: 0o644 }, file)
    else if ('link' in file) archive.entry({ name: path, type: 'symlink', linkname: file.link })
    else archive.entry({ name: path, mode: file.mode ?? 0o644 }, file.bytes)
  }
  archive.finalize()
  return Readable.from(archive)
}

/** The same of a tar archive. */
export async function importArchive(
  { docker }: Engine,
  name: string,
  archive: Readable,
  changes: readonly string[] = [],
): Promise<void> {
  const [repo = '', tag = 'latest'] = name.split(':')
  // dockerode would make JSON of a list, and Podman takes one change a parameter.
  const query = new URLSearchParams({ fromSrc: '-', repo, tag })
  for (const change of changes) query.append('changes', change)
  const answer = await new Promise<AsyncIterable<Buffer>>((resolve, reject) => {
    const request = { path: `/images/create?${query}&`, method: 'POST', isStream: true, file: archive }
    docker.modem.dial({ ...request, statusCodes: { 200: true } }, (error: unknown, stream: unknown) =>
      error === null ? resolve(stream as AsyncIterable<Buffer>) : reject(error),
    )
  })
  let text = ''
  for await (const chunk of answer) text += chunk
  assert.doesNotMatch(text, /"error"/)
}

/** A static busybox with a few users; `applets` besides are links to it. */
export function busybox(): Record<string, ImageFile> {
  const applets = [
    ...[
      'cat',
      'chmod',
      'echo',
      'env',
      'grep',
      'head',
      'id',
      'kill',
      'ls',
      'ps',
      'pwd',
      'readlink',
      'sh',
      'sleep',
      'stat',
    ],
    ...['stty', 'tail', 'touch', 'true', 'tty', 'wc', 'yes'],
  ]
  return {
    'bin/busybox': { bytes: readFileSync('/bin/busybox'), mode: 0o755 },
    ...Object.fromEntries(applets.map(applet => [`bin/${applet}`, { link: 'busybox' }])),
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nworker:x:1234:1234:worker:/home/worker:/bin/sh\n',
    'etc/group': 'root:x:0:\nworker:x:1234:\nothers:x:4321:\n',
    ...{ 'home/worker/': 'directory', 'proc/': 'directory', 'tmp/': 'directory' },
  }
}

/** Puts this process into a machine of its own (`lo` alone; everything in it ends with it), by starting it over. */
export function onOwnMachine(): void {
  if (process.env.CLRK_TEST_MACHINE !== undefined) return
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const isolate = ['--net', '--mount', '--propagation', 'slave', '--pid', '--fork', '--kill-child', '--mount-proc']
  // The shell is process 1: it reaps what engines leave behind.
  const script = 'ip link set lo up; "$@"; exit $?'
  process.execve?.('/usr/bin/unshare', ['unshare', ...isolate, 'sh', '-c', script, 'sh', ...again], {
    ...process.env,
    CLRK_TEST_MACHINE: '1',
  })
}

function startHere([program, ...args]: readonly [string, ...string[]]): ReturnType<StartProcess> {
  const child: ChildProcess = spawn(program, args, { stdio: 'ignore' })
  return { kill: signal => child.kill(signal), exited: once(child, 'exit') }
}

/** Processes with `text` among their arguments: containerd and the shims of one engine name its directory. */
export function processesNaming(text: string): readonly number[] {
  return readdirSync('/proc').flatMap(pid => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text) ? [Number(pid)] : []
    } catch {
      return [] // it ended meanwhile
    }
  })
}

/** As ps(1) has it, at most 15 characters; '' where it has ended. */
function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8')
  } catch {
    return ''
  }
}

function unmountBelow(directory: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8').match(/(?<=^(?:\S+ ){4})\S+/gm) ?? []
  for (const point of points.reverse()) if (point.startsWith(`${directory}/`)) unmount(point)
}

function removeCgroups(name: string): void {
  for (const controller of ['', ...readdirSync('/sys/fs/cgroup')]) {
    const directory = join('/sys/fs/cgroup', controller, name)
    if (!existsSync(directory)) continue
    // Also of containers that an engine forgot.
    const below = readdirSync(directory, { withFileTypes: true }).filter(entry => entry.isDirectory())
    for (const entry of below) rmdirSync(join(directory, entry.name))
    rmdirSync(directory)
  }
}
