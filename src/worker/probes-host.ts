/** What every sandbox needs of this machine, whichever runtime boots it: tried as the worker does it, and undone. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isClrkError, messageOf } from '../errors.ts'
import { type Probe, probeLocks } from '../kernel/probes.ts'
import { compileSeccomp } from '../kernel/seccomp.ts'
import { plumbNamespace } from '../plumbing/netns.ts'
import { TOOL_PATH } from '../plumbing/tool-path.ts'
import { findTool } from '../runtimes/local-tools.ts'
import { SECCOMP_PROFILE } from '../runtimes/seccomp.ts'
import { readHostRoots } from '../trust/image-roots.ts'

/** Root of the machine: that of a user namespace, or of a container, may do nothing of what the worker does. */
export function isRoot(): boolean {
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'
  const isWhole = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'))
  return process.getuid?.() === 0 && isWhole && (BigInt(`0x${effective}`) & CAP_SYS_ADMIN) !== 0n
}

export function probeRoot(): Probe {
  if (isRoot()) return { answer: 'yes', found: 'this is root' }
  if (process.getuid?.() !== 0) {
    return { answer: 'could not tell', found: 'this is not root, so what only root can do is not tried', needs: SUDO }
  }
  const found = 'this root has no power over the machine: it is in a container or a user namespace'
  return { answer: 'no', found, needs: OUTSIDE }
}

/** Is it there? Nothing of it is run. */
export function probeTool(tool: string, debianPackage: string): Probe {
  return { answer: 'yes', found: `it is ${findTool(tool, debianPackage)}` }
}

/** The real ruleset in a network namespace that goes with its descriptor, and a connection through it. */
export async function probeRedirect(): Promise<Probe> {
  const nft = findTool('nft', 'nftables')
  findTool('ip', 'iproute2')
  if (!isRoot()) return onlyRoot(`${nft} is there, but whether the ruleset loads`)
  const namespace = await plumbNamespace()
  namespace.close()
  return { answer: 'yes', found: 'the ruleset loads, and connections are redirected in both families' }
}

/** The worker keeps its mounts to itself. */
export async function probeMountNamespace(): Promise<Probe> {
  const unshare = findTool('unshare', 'util-linux')
  if (!isRoot()) return onlyRoot(`${unshare} is there, but whether it can make a mount namespace`)
  const failure = await complaintOf([unshare, '--mount', '--propagation', 'slave', '--', 'true'])
  if (failure === null) return { answer: 'yes', found: 'a mount namespace can be made' }
  return { answer: 'no', found: failure, needs: OUTSIDE }
}

/** A process without privileges, as a shard is one. */
export async function probeShard(): Promise<Probe> {
  const bwrap = findTool('bwrap', 'bubblewrap')
  const setpriv = findTool('setpriv', 'util-linux')
  if (!isRoot()) return onlyRoot(`${bwrap} is there, but whether it can start a shard`)
  const failure = await complaintOf([
    ...([bwrap, '--die-with-parent', '--unshare-ipc', '--unshare-uts'] as const),
    ...['--perms', '0755', '--dir', '/etc', '--ro-bind', '/', '/', '--dev', '/dev'],
    ...['SETUID', 'SETGID', 'SETPCAP'].flatMap(name => ['--cap-add', `CAP_${name}`]),
    ...['--', setpriv, '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--ambient-caps=-all'],
    ...['--bounding-set=-all', '--no-new-privs', '--pdeathsig=KILL', 'true'],
  ])
  if (failure === null) return { answer: 'yes', found: `${await firstLine([bwrap, '--version'])} starts a shard` }
  return { answer: 'no', found: failure, needs: 'apt-get install bubblewrap util-linux' }
}

export function probeSeccomp(): Probe {
  const { length } = compileSeccomp(SECCOMP_PROFILE)
  return { answer: 'yes', found: `libseccomp compiles the system call filter (${length / 8} instructions)` }
}

/** `state` need not exist yet. */
export async function probeState(state: string): Promise<Probe> {
  const directory = await nearest(state)
  const mayWrite = await access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  )
  return isRoot() || mayWrite ? probeLocks(directory) : onlyRoot(`whether ${directory} can be written`)
}

/** Without a bundle sandboxes get Node's own roots, so this is advice. */
export function probeRoots(): Probe {
  const { bundles, keystores } = readHostRoots()
  const [first] = bundles
  const needs = 'apt-get install ca-certificates'
  if (first === undefined) return { answer: 'no', found: 'this machine has no CA bundle', needs }
  const count = first.pem.split('-----BEGIN CERTIFICATE-----').length - 1
  const java = keystores.length === 0 ? '' : `, and ${keystores.map(({ realPath }) => realPath).join(', ')}`
  return { answer: 'yes', found: `${first.realPath} holds ${count} roots${java}` }
}

export function onlyRoot(what: string): Probe {
  const needs = process.getuid?.() === 0 ? OUTSIDE : SUDO
  return { answer: 'could not tell', found: `${what}, only the machine's root can try`, needs }
}

/** Whatever a probe throws, as its answer. */
export function failedProbe(error: unknown): Probe {
  if (!isClrkError(error)) return { answer: 'could not tell', found: messageOf(error), needs: 'Please report it.' }
  const { code, details } = error.fault
  if (code === 'CLRK_TOOL_MISSING') {
    return { answer: 'no', found: `${details.tool} is not installed`, needs: `apt-get install ${details.package}` }
  }
  if (code === 'CLRK_PLUMBING_FAILED') {
    const found = `${details.step} failed: ${details.reason}`
    return { answer: 'no', found, needs: 'modprobe -a nf_tables nft_chain_nat nft_redir nft_reject_inet nft_fib_inet' }
  }
  const said = code === 'CLRK_ENGINE_UNAVAILABLE' ? details.engine : details.step
  return { answer: 'no', found: `${said}: ${details.reason}`, needs: String(details.fix ?? 'See clrk --help.') }
}

/** What a program said that did not end well, on one line; null where it did. `descriptor`: its 3. */
export function complaintOf(argv: readonly [string, ...string[]], descriptor?: number): Promise<string | null> {
  const [program, ...args] = argv
  return new Promise(resolve => {
    const stdio = ['ignore', 'ignore', 'pipe', ...(descriptor === undefined ? [] : [descriptor])] as const
    const child = spawn(program, args, { cwd: '/', env: { PATH: TOOL_PATH }, stdio: [...stdio] })
    let said = ''
    child.stderr?.on('data', chunk => {
      if (said.length < 1_000) said += chunk
    })
    child.on('error', error => resolve(messageOf(error)))
    child.on('close', code => resolve(code === 0 ? null : said.trim().replace(/\s+/g, ' ') || `it ended with ${code}`))
  })
}

async function firstLine([program, ...args]: readonly [string, ...string[]]): Promise<string> {
  const child = spawn(program, args, { env: {}, stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  for await (const chunk of child.stdout) text += chunk
  return text.split('\n')[0] ?? ''
}

/** The directory itself, or the first above it that exists. */
async function nearest(path: string): Promise<string> {
  const isDirectory = await stat(path).then(
    found => found.isDirectory(),
    () => false,
  )
  return isDirectory || path === '/' ? path : nearest(dirname(path))
}

const CAP_SYS_ADMIN = 1n << 21n
const SUDO = 'sudo clrk doctor'
const OUTSIDE = 'Run clrk on the machine itself, or in a privileged container.'
