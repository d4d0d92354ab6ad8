/**
 * The two containers of a sandbox as create requests (Docker Engine API 1.41, POST /containers/create). Pure.
 *
 * The pause container holds the network and the UTS namespace, so its host name is the agent's. What engines differ in
 * (resolv.conf and hosts of a joined container: Podman shows it the host's own entries) is a file of ours.
 */
import { posix } from 'node:path'
import type { ContainerCreateOptions, HostConfig } from 'dockerode'
import { clrkError } from '../errors.ts'
import type { ImageSandboxSpec } from './image-runtime.ts'

/** What the machine and the set-up say, the same for every sandbox. */
export type EngineSetting = {
  /** `[a-z0-9]{8}`, tells workers of one host apart. */
  readonly stateId: string
  readonly pauseImage: string
  /** Host path of the static program of images/init. */
  readonly init: string
  /** Host path of the agent's resolv.conf: engines differ in what they make, and an agent could fill theirs. */
  readonly resolvConf: string
  /** The value of `seccomp=`: JSON for Docker, the path of a file for Podman. */
  readonly seccomp: string
  /** Open files of one process; not above the engine's own hard limit. */
  readonly openFiles: number
  /** Processes of one uid, -1 for no limit; said because Podman's own default may be more than it has itself. */
  readonly processes: number
}

export const LABELS = {
  state: 'clrk.apoxy.dev/state',
  sandbox: 'clrk.apoxy.dev/sandbox',
  role: 'clrk.apoxy.dev/role',
} as const

/** Also checked where containers are listed: a label alone can come from an image. */
export function containerName(stateId: string, sandbox: string, role: 'pause' | 'agent'): string {
  return `clrk-${stateId}-${sandbox}-${role}`
}

export function pauseContainer(
  setting: EngineSetting,
  sandbox: string,
  labels: Readonly<Record<string, string>>,
): ContainerCreateOptions {
  return {
    name: containerName(setting.stateId, sandbox, 'pause'),
    Image: setting.pauseImage,
    Entrypoint: ['/pause'],
    User: '65534:65534',
    Hostname: sandbox,
    Labels: { ...labels, ...ownLabels(setting, sandbox, 'pause') },
    HostConfig: {
      ...confinement(setting),
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      Memory: PAUSE_BYTES,
      MemorySwap: PAUSE_BYTES,
      PidsLimit: 32, // runc's init is a Go program and dies where it cannot have its threads
    },
  }
}

/**
 * `pause`: id of the pause container. `hosts`: host path of the agent's /etc/hosts. `owner`: of the workspace, where the spec names one.
 * Throws CLRK_ARGUMENT_INVALID where there is nothing to run, or the agent would not be the workspace's owner.
 */
export function agentContainer(
  setting: EngineSetting,
  spec: ImageSandboxSpec,
  { pause, hosts }: { readonly pause: string; readonly hosts: string },
  owner: { readonly uid: number; readonly gid: number } | null,
): ContainerCreateOptions {
  const { image, limits, trust } = spec
  const size = spec.stdio.kind === 'terminal' ? [spec.stdio.rows, spec.stdio.columns] : [0, 0]
  return {
    name: containerName(setting.stateId, spec.id, 'agent'),
    Image: image.id,
    Entrypoint: [INIT_PATH, ...size.map(String)],
    Cmd: [...commandOf(spec)],
    Env: Object.entries({ ...image.environment, ...spec.environment, ...trust.environment }).map(
      ([name, value]) => `${name}=${value}`,
    ),
    User: userOf(spec, owner),
    WorkingDir: spec.workingDirectory ?? image.workingDirectory,
    Labels: ownLabels(setting, spec.id, 'agent'),
    Tty: spec.stdio.kind === 'terminal',
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Healthcheck: { Test: ['NONE'] }, // the image's own would be run by the engine, again and again
    HostConfig: {
      ...confinement(setting),
      NetworkMode: `container:${pause}`,
      UTSMode: `container:${pause}`,
      ReadonlyRootfs: spec.readOnlyRoot,
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      NanoCpus: Math.max(MINIMUM_NANO_CPUS, Math.round(limits.cpus * 1e9)),
      PidsLimit: limits.pids + 1, // init
      Mounts: mounts(setting, spec, hosts),
      // A read-only image still needs places for temporary files; an image's own /run would hide the trust store.
      ...(spec.readOnlyRoot ? { Tmpfs: { '/tmp': TMPFS, '/var/tmp': TMPFS } } : {}),
    },
  }
}

/** As Kubernetes has it: `command` replaces ENTRYPOINT and drops CMD, `args` alone replaces CMD. */
function commandOf({ image, command, args }: ImageSandboxSpec): readonly string[] {
  const given = args.length > 0 ? args : command.length > 0 ? [] : image.command
  const all = [...(command.length > 0 ? command : image.entrypoint), ...given]
  if (all.length > 0) return all
  throw clrkError('CLRK_ARGUMENT_INVALID', {
    argument: `image ${image.reference}`,
    reason: 'it has neither ENTRYPOINT nor CMD, so there is nothing to run',
    fix: 'Name a command.',
  })
}

function userOf({ image, user, workspace }: ImageSandboxSpec, owner: { uid: number; gid: number } | null): string {
  if (owner === null) return user === null ? image.user : `${user.uid}:${user.gid}`
  if (user === null || user.uid === owner.uid) return `${owner.uid}:${owner.gid}`
  throw clrkError('CLRK_ARGUMENT_INVALID', {
    argument: `workspace ${workspace}`,
    reason: `it belongs to uid ${owner.uid}, and the agent would run as ${user.uid}`,
    fix: `Leave the user out, or chown -R ${user.uid}:${user.gid} ${workspace}`,
  })
}

/** Parents come before what lies in them, so that nothing is mounted over and hidden. */
function mounts(
  setting: EngineSetting,
  { trust, workspace }: ImageSandboxSpec,
  hosts: string,
): NonNullable<HostConfig['Mounts']> {
  const own = [
    { source: setting.init, target: INIT_PATH },
    { source: setting.resolvConf, target: '/etc/resolv.conf' },
    { source: hosts, target: '/etc/hosts' },
  ]
  const readOnly = [...own, ...trust.binds].map(({ source, target }) => ({
    ...{ Type: 'bind' as const, Source: source, Target: posix.normalize(target), ReadOnly: true },
    ...{ BindOptions: { Propagation: 'rprivate' as const } },
  }))
  const writable = workspace === null ? [] : [{ source: workspace, target: workspace }]
  return [
    ...readOnly,
    ...writable.map(({ source, target }) => ({
      ...{ Type: 'bind' as const, Source: source, Target: target, ReadOnly: false },
      ...{ BindOptions: { Propagation: 'rprivate' as const } },
    })),
  ].sort((a, b) => depth(a.Target) - depth(b.Target))
}

function depth(path: string): number {
  return path.split('/').length
}

/** What an agent may not, by whatever image it comes (DESIGN.md, Privileges). */
function confinement({ seccomp, openFiles, processes }: EngineSetting): HostConfig {
  return {
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges', `seccomp=${seccomp}`],
    Privileged: false,
    IpcMode: 'private',
    ...{ CgroupnsMode: 'private' }, // dockerode's type does not know it
    Init: false, // images/init, the same one with every engine
    RestartPolicy: { Name: '' }, // the worker restarts; an engine would do it in a namespace that nobody plumbed
    AutoRemove: false,
    LogConfig: { Type: 'none', Config: {} }, // what an agent prints goes to its reader and not onto the disk
    Ulimits: [
      { Name: 'nofile', Soft: openFiles, Hard: openFiles },
      { Name: 'nproc', Soft: processes, Hard: processes },
      { Name: 'core', Soft: 0, Hard: 0 },
    ],
  }
}

function ownLabels({ stateId }: EngineSetting, sandbox: string, role: 'pause' | 'agent') {
  return { [LABELS.state]: stateId, [LABELS.sandbox]: sandbox, [LABELS.role]: role }
}

/** Where the agent's container has images/init. */
const INIT_PATH = '/run/clrk/init'
/** Any address would do: port 53 is redirected to the sandbox's responder wherever it is sent. */
export const NAMESERVER = '198.18.0.53'
/** The engine refuses less than 6 MiB. */
const PAUSE_BYTES = 16 * 2 ** 20
const MINIMUM_NANO_CPUS = 10_000_000
const TMPFS = 'rw,nosuid,nodev,mode=1777'
