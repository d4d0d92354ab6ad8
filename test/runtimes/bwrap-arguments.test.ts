/** The whole of what bubblewrap is told, so that a change of it is seen as one. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { bwrapArguments, commandInside } from '../../src/runtimes/bwrap-spec.ts'
import type { HostLayout } from '../../src/runtimes/host-layout.ts'
import type { SandboxSpec } from '../../src/runtimes/runtime.ts'

const SPEC: SandboxSpec = {
  id: 'box',
  argv: ['agent', '--flag'],
  environment: { PATH: '/usr/bin', SSL_CERT_FILE: '/overridden' },
  workingDirectory: '/work',
  user: { uid: 1000, gid: 1001 },
  home: '/home/caller',
  workspace: '/work',
  readOnly: [],
  trust: { binds: [], environment: { SSL_CERT_FILE: '/clrk/bundle.pem' } },
  limits: { memoryBytes: 1000, cpus: 1, pids: 10 },
  stdio: { kind: 'pipes' },
}
const HOST: HostLayout = {
  directories: ['/etc', '/usr'],
  links: [{ path: '/bin', target: 'usr/bin' }],
  hiddenFiles: ['/proc/keys'],
  hiddenDirectories: ['/proc/acpi'],
  etc: [],
}

test('the arguments of bubblewrap', () => {
  const staged = {
    emptyFile: '/s/empty-file',
    emptyDirectory: '/s/empty-directory',
    files: [{ source: '/s/0', target: '/etc/hosts' }],
    tools: [
      { source: '/s/1', target: '/home/caller/tool' },
      { link: 'tool', target: '/home/caller/current' },
    ],
    hidden: [{ target: '/home/caller/tool/.env', kind: 'file' as const }],
    workspace: { source: '/s/2', target: '/data/work', alias: '/work' },
  }
  assert.deepEqual(
    bwrapArguments(SPEC, HOST, staged, { seccomp: 5, status: 6 }).join(' ').replace(/ --/g, '\n--').split('\n'),
    [
      '--unshare-user',
      '--uid 1000',
      '--gid 1001',
      '--unshare-pid',
      '--unshare-ipc',
      '--unshare-uts',
      '--unshare-cgroup-try',
      '--hostname box',
      '--die-with-parent',
      '--new-session',
      '--cap-drop ALL',
      '--seccomp 5',
      '--json-status-fd 6',
      '--ro-bind /etc /etc',
      '--ro-bind /usr /usr',
      '--symlink usr/bin /bin',
      '--proc /proc',
      '--dev /dev',
      '--remount-ro /dev',
      '--perms 1777',
      '--size 500',
      '--tmpfs /dev/shm',
      '--perms 1777',
      '--size 1000',
      '--tmpfs /tmp',
      '--perms 1777',
      '--size 1000',
      '--tmpfs /var/tmp',
      '--perms 0755',
      '--size 1000',
      '--tmpfs /run',
      '--symlink ../run /var/run',
      '--perms 0700',
      '--size 1000',
      '--tmpfs /home/caller',
      '--ro-bind /s/1 /home/caller/tool',
      '--symlink tool /home/caller/current',
      '--ro-bind /s/empty-file /home/caller/tool/.env',
      '--bind /s/2 /data/work',
      '--symlink /data/work /work',
      '--ro-bind /s/0 /etc/hosts',
      '--ro-bind /s/empty-file /proc/keys',
      '--ro-bind /s/empty-directory /proc/acpi',
      '--remount-ro /',
      '--chdir /work',
      '--clearenv',
      '--setenv PATH /usr/bin',
      '--setenv SSL_CERT_FILE /clrk/bundle.pem',
    ],
  )
})

test('the command inside: a session, the gate, the agent', () => {
  const gate = 'echo >&3 && read -r go <&3 || exit 125; exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; exec "$@"'
  const rest = ['/bin/sh', '-c', gate, 'clrk', 'agent', '--flag']
  assert.deepEqual(commandInside(SPEC, 3), ['/usr/bin/setsid', ...rest])
  const terminal: SandboxSpec = { ...SPEC, stdio: { kind: 'terminal', rows: 1, columns: 1 } }
  assert.deepEqual(commandInside(terminal, 3), ['/usr/bin/setsid', '--ctty', ...rest])
})
