/** The create requests, golden: what is confined must not change unseen. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { agentContainer, type EngineSetting, pauseContainer } from '../../src/runtimes/docker-spec.ts'
import type { ImageSandboxSpec } from '../../src/runtimes/image-runtime.ts'

const SETTING: EngineSetting = {
  stateId: 'abcd1234',
  pauseImage: 'clrk-pause:1',
  init: '/var/lib/clrk/init',
  resolvConf: '/var/lib/clrk/resolv.conf',
  seccomp: '{}',
  openFiles: 1024,
  processes: -1,
}

const SPEC: ImageSandboxSpec = {
  id: 'sb-1',
  image: {
    reference: 'example:1',
    id: 'sha256:1',
    entrypoint: ['/entry', '-e'],
    command: ['image'],
    environment: { A: 'image', B: 'image', SSL_CERT_FILE: 'image' },
    user: 'worker',
    workingDirectory: '/srv',
    stopSignal: 'SIGTERM',
  },
  command: [],
  args: [],
  environment: { B: 'agent', SSL_CERT_FILE: 'agent' },
  workingDirectory: null,
  user: null,
  workspace: null,
  readOnlyRoot: false,
  trust: {
    binds: [
      { source: '/t/deep', target: '/etc/ssl/certs/java/cacerts' },
      { source: '/t/certs', target: '/etc/ssl/certs' },
    ],
    environment: { SSL_CERT_FILE: 'trust' },
  },
  limits: { memoryBytes: 1000, cpus: 0.5, pids: 10 },
  stdio: { kind: 'pipes' },
}

const POD = { pause: 'pause-id', hosts: '/var/lib/clrk/hosts/sb-1' }

const CONFINED = {
  CapDrop: ['ALL'],
  SecurityOpt: ['no-new-privileges', 'seccomp={}'],
  Privileged: false,
  IpcMode: 'private',
  CgroupnsMode: 'private',
  Init: false,
  RestartPolicy: { Name: '' },
  AutoRemove: false,
  LogConfig: { Type: 'none', Config: {} },
  Ulimits: [
    { Name: 'nofile', Soft: 1024, Hard: 1024 },
    { Name: 'nproc', Soft: -1, Hard: -1 },
    { Name: 'core', Soft: 0, Hard: 0 },
  ],
}

const bind = (Source: string, Target: string, ReadOnly = true) => ({
  ...{ Type: 'bind', Source, Target, ReadOnly },
  BindOptions: { Propagation: 'rprivate' },
})

test('the pause container', () => {
  assert.deepEqual(pauseContainer(SETTING, 'sb-1', { digest: 'x', 'clrk.apoxy.dev/state': 'not this' }), {
    name: 'clrk-abcd1234-sb-1-pause',
    Image: 'clrk-pause:1',
    Entrypoint: ['/pause'],
    User: '65534:65534',
    Hostname: 'sb-1',
    Labels: {
      ...{ digest: 'x', 'clrk.apoxy.dev/state': 'abcd1234', 'clrk.apoxy.dev/sandbox': 'sb-1' },
      'clrk.apoxy.dev/role': 'pause',
    },
    HostConfig: {
      ...CONFINED,
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      Memory: 16_777_216,
      MemorySwap: 16_777_216,
      PidsLimit: 32,
    },
  })
})

test("the agent's container: confined, joined to the pause container, no mounts but init, resolv.conf, hosts and the trust store", () => {
  assert.deepEqual(agentContainer(SETTING, SPEC, POD, null), {
    name: 'clrk-abcd1234-sb-1-agent',
    Image: 'sha256:1',
    Entrypoint: ['/run/clrk/init', '0', '0'],
    Cmd: ['/entry', '-e', 'image'],
    Env: ['A=image', 'B=agent', 'SSL_CERT_FILE=trust'],
    User: 'worker',
    WorkingDir: '/srv',
    Labels: {
      ...{ 'clrk.apoxy.dev/state': 'abcd1234', 'clrk.apoxy.dev/sandbox': 'sb-1' },
      'clrk.apoxy.dev/role': 'agent',
    },
    Tty: false,
    ...{ OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true },
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      ...CONFINED,
      NetworkMode: 'container:pause-id',
      UTSMode: 'container:pause-id',
      ReadonlyRootfs: false,
      Memory: 1000,
      MemorySwap: 1000,
      NanoCpus: 500_000_000,
      PidsLimit: 11,
      Mounts: [
        bind('/var/lib/clrk/resolv.conf', '/etc/resolv.conf'),
        bind('/var/lib/clrk/hosts/sb-1', '/etc/hosts'),
        bind('/var/lib/clrk/init', '/run/clrk/init'),
        bind('/t/certs', '/etc/ssl/certs'),
        bind('/t/deep', '/etc/ssl/certs/java/cacerts'),
      ],
    },
  })
})

test('command and args stand over ENTRYPOINT and CMD as Kubernetes has it', () => {
  const cmd = (command: readonly string[], args: readonly string[]) =>
    agentContainer(SETTING, { ...SPEC, command, args }, POD, null).Cmd
  assert.deepEqual(cmd([], []), ['/entry', '-e', 'image'])
  assert.deepEqual(cmd([], ['x']), ['/entry', '-e', 'x'])
  assert.deepEqual(cmd(['/own'], []), ['/own'])
  assert.deepEqual(cmd(['/own'], ['x']), ['/own', 'x'])
})

test('with a terminal, a workspace and a read-only root', () => {
  const spec: ImageSandboxSpec = {
    ...SPEC,
    workspace: '/home/u/work',
    readOnlyRoot: true,
    stdio: { kind: 'terminal', rows: 24, columns: 80 },
  }
  const { Tty, User, Entrypoint, HostConfig } = agentContainer(SETTING, spec, POD, { uid: 5, gid: 6 })
  assert.deepEqual({ Tty, User, Entrypoint }, { Tty: true, User: '5:6', Entrypoint: ['/run/clrk/init', '24', '80'] })
  assert.equal(HostConfig?.ReadonlyRootfs, true)
  assert.deepEqual(Object.keys(HostConfig?.Tmpfs ?? {}), ['/tmp', '/var/tmp'])
  assert.ok(HostConfig?.Mounts?.some(({ Source, ReadOnly }) => Source === '/home/u/work' && ReadOnly === false))
})
