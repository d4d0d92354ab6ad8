/** Booting without an engine: the caller's own machine, read-only, with the tools on its PATH. */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { plumbNamespace } from '../plumbing/netns.ts'
import { hostFiles } from '../runtimes/host-files.ts'
import type { LocalRuntime } from '../runtimes/local.ts'
import type { SandboxSpec } from '../runtimes/runtime.ts'
import { toolsOnPath } from '../runtimes/tools-on-path.ts'
import type { HostRoots } from '../trust/image-roots.ts'
import { installTrust } from '../trust/install.ts'
import { planTrust } from '../trust/plan.ts'
import type { BootRequest, Preparing } from './boot.ts'
import { sandboxEnvironment } from './surroundings.ts'

/** Whom an agent believes to be: most tools dislike being root without its powers. */
const DEFAULT_USER = { uid: 1000, gid: 1000 } as const

export type LocalBoot = {
  readonly runtime: LocalRuntime
  /** The host's roots, read once. */
  readonly hostRoots: HostRoots
  /** Where trust files are prepared: a tmpfs that any uid can reach. */
  readonly trustDirectory: string
}

export function prepareLocal(environment: LocalBoot, request: BootRequest): Preparing {
  return {
    runtime: 'local',
    begin: async undo => {
      const plumbing = plumbNamespace()
      undo(async () => (await plumbing).close())
      const spec = sandboxSpec(environment, request) // while ip and nft work
      const namespace = await plumbing
      return {
        sockets: namespace.sockets,
        start: () => environment.runtime.start(spec, { path: namespace.path }),
        end: async () => namespace.close(),
      }
    },
  }
}

function sandboxSpec(environment: LocalBoot, request: BootRequest): SandboxSpec {
  const { gateway, surroundings } = request
  const { callerEnvironment, callerDirectory, workspace, stdio } = surroundings
  const home = callerEnvironment.HOME ?? homedir()
  const tools = toolsOnPath(hostFiles, { path: callerEnvironment.PATH ?? '', home, workspace })
  const { authority } = gateway
  const files = planTrust(environment.hostRoots, authority.certificatePem, authority.subjectHash)
  const trust = installTrust(files, environment.trustDirectory)
  const program = request.programDirectory
  const [argument0 = '', ...rest] = [...request.command, ...request.args]
  return {
    id: request.identity.id,
    argv: [argument0, ...rest],
    environment: sandboxEnvironment({
      caller: callerEnvironment,
      path: tools.path,
      home,
      trust: trust.environment,
      policy: gateway.policy(),
      own: request.environment,
    }),
    workingDirectory: request.workingDirectory ?? program ?? visibleDirectory(callerDirectory, workspace, home),
    user: request.user ?? DEFAULT_USER,
    home,
    workspace,
    readOnly: [...tools.readOnly, ...(program === null ? [] : [program, ...moduleDirectories(program)])],
    trust,
    limits: request.limits,
    stdio,
  }
}

/** The caller's own directory where the sandbox shows it, as a program that is started directly would have. */
function visibleDirectory(directory: string, workspace: string | null, home: string): string {
  const shown = [workspace, '/usr', '/etc', '/opt'].filter(path => path !== null)
  if (shown.some(path => directory === path || directory.startsWith(`${path}/`))) return directory
  return workspace ?? home
}

/** The `node_modules` that Node searches from a program: its own and those of the directories above it. */
function moduleDirectories(program: string): readonly string[] {
  const found: string[] = []
  for (let at = program; at !== dirname(at); at = dirname(at)) {
    const modules = join(at, 'node_modules')
    if (at !== program && existsSync(modules)) found.push(modules)
  }
  return found
}
