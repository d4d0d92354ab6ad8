/**
 * The arguments of bubblewrap (bwrap(1), 0.8) for one sandbox. Pure: all that the host decides is in `HostLayout`, all
 * that had to be prepared is in `StagedPaths`. They travel through `--args`, so that `ps` shows none of them.
 */
import type { HostLayout } from './host-layout.ts'
import type { SandboxSpec } from './runtime.ts'

/** Host paths that any uid can reach, made for this sandbox. */
export type StagedPaths = {
  /** An empty file and an empty directory, to lay over what is hidden. */
  readonly emptyFile: string
  readonly emptyDirectory: string
  /** Own versions of files of /etc, and the trust store. */
  readonly files: readonly { readonly source: string; readonly target: string }[]
  /** The tools: `link` repeats a symbolic link, `source` is shown read-only. */
  readonly tools: readonly (
    | { readonly target: string; readonly source: string }
    | { readonly target: string; readonly link: string }
  )[]
  /** Credential files inside the tools. */
  readonly hidden: readonly { readonly target: string; readonly kind: 'file' | 'directory' }[]
  /** `alias`: the path that the caller used, where links lead from it to `target`; else null. */
  readonly workspace: { readonly source: string; readonly target: string; readonly alias: string | null } | null
}

/** The descriptors that bwrap reads its filter from and writes its status to. */
export type BwrapDescriptors = { readonly seccomp: number; readonly status: number }

/** Everything but the command. Mounts come in the order in which they cover each other. */
export function bwrapArguments(
  spec: SandboxSpec,
  host: HostLayout,
  staged: StagedPaths,
  descriptors: BwrapDescriptors,
): readonly string[] {
  const hide = (kind: 'file' | 'directory', target: string) => [
    '--ro-bind',
    kind === 'file' ? staged.emptyFile : staged.emptyDirectory,
    target,
  ]
  const size = spec.limits.memoryBytes
  return [
    // The namespaces. The network one is the launcher's; the user one nests in the launcher's (uid 0 → BASE).
    ...['--unshare-user', '--uid', `${spec.user.uid}`, '--gid', `${spec.user.gid}`],
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try', '--hostname', spec.id],
    ...['--die-with-parent', '--new-session', '--cap-drop', 'ALL'],
    ...['--seccomp', `${descriptors.seccomp}`, '--json-status-fd', `${descriptors.status}`],

    ...host.directories.flatMap(path => ['--ro-bind', path, path]),
    ...host.links.flatMap(({ path, target }) => ['--symlink', target, path]),
    ...['--proc', '/proc', '--dev', '/dev', '--remount-ro', '/dev'],
    ...tmpfs('1777', Math.ceil(size / 2), '/dev/shm'),
    ...tmpfs('1777', size, '/tmp'),
    ...tmpfs('1777', size, '/var/tmp'),
    ...tmpfs('0755', size, '/run'),
    ...['--symlink', '../run', '/var/run'],
    ...tmpfs('0700', size, spec.home),

    ...staged.tools.flatMap(tool =>
      'link' in tool ? ['--symlink', tool.link, tool.target] : ['--ro-bind', tool.source, tool.target],
    ),
    ...staged.hidden.flatMap(({ kind, target }) => hide(kind, target)),
    ...workspaceArguments(staged.workspace),
    ...staged.files.flatMap(({ source, target }) => ['--ro-bind', source, target]),
    ...host.hiddenFiles.flatMap(path => hide('file', path)),
    ...host.hiddenDirectories.flatMap(path => hide('directory', path)),
    ...['--remount-ro', '/'],

    ...['--chdir', spec.workingDirectory, '--clearenv'],
    ...environment(spec).flatMap(([name, value]) => ['--setenv', name, value]),
  ]
}

/**
 * What runs inside: a session of its own (with the terminal as its controlling one), the gate, then the agent in its
 * place. The gate says that everything is set up and waits for a line on `control`; if the worker is gone it ends
 * (T66), so no agent runs without somebody who answers for it. Only descriptors 0 to 2 go further (T129).
 */
export function commandInside(spec: SandboxSpec, control: number): readonly string[] {
  const ctty = spec.stdio.kind === 'terminal' ? ['--ctty'] : []
  const others = [3, 4, 5, 6, 7, 8, 9].map(fd => `${fd}<&-`).join(' ')
  const gate = `echo >&${control} && read -r go <&${control} || exit 125; exec ${others}; exec "$@"`
  return ['/usr/bin/setsid', ...ctty, '/bin/sh', '-c', gate, 'clrk', ...spec.argv]
}

function tmpfs(mode: string, bytes: number, target: string): readonly string[] {
  return ['--perms', mode, '--size', `${bytes}`, '--tmpfs', target]
}

function workspaceArguments(workspace: StagedPaths['workspace']): readonly string[] {
  if (workspace === null) return []
  const { source, target, alias } = workspace
  return ['--bind', source, target, ...(alias === null ? [] : ['--symlink', target, alias])]
}

/** The trust variables win: they point at files that only this sandbox has. */
function environment(spec: SandboxSpec): readonly (readonly [string, string])[] {
  return Object.entries({ ...spec.environment, ...spec.trust.environment })
}
