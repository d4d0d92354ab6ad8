/**
 * Real clients, unmodified, in bubblewrap with a trust plan and nothing else, against a TLS server with a minted leaf.
 * Server and clients share a network namespace with nothing but `lo`. As the host's root, and as two users that are
 * strangers to the host, one of them uid 0 inside: files below a shut directory work for the first and fail for others.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import { mintLeaf } from '../../src/pki/leaf.ts'
import { readHostRoots } from '../../src/trust/image-roots.ts'
import { installTrust } from '../../src/trust/install.ts'
import { planTrust, type TrustPlan } from '../../src/trust/plan.ts'
import { CLIENTS, type Client, GO, GO_CLIENT, HOST, JAVA_CLIENT } from './clients.ts'

const USERS = {
  'the host root': [],
  'a stranger, uid 0 inside': ['--unshare-user', '--uid', '0', '--gid', '0'],
  'a stranger, uid 1000 inside': ['--unshare-user', '--uid', '1000', '--gid', '1000'],
} as const
const STRANGER = ['setpriv', '--reuid=165536', '--regid=165536', '--clear-groups']
const NO_TRUST: TrustPlan = { binds: [], environment: {} }

const directory = fs.mkdtempSync(join(tmpdir(), 'clrk-clients-'))
const tools = join(directory, 'tools')
/** Kept between runs: what was downloaded and compiled. */
const cache = join(import.meta.dirname, '../../node_modules/.cache/clrk')
const log = join(directory, 'served')
let server: ChildProcess
let trust: TrustPlan

before(async () => {
  prepareTools()
  const authority = loadOrCreateAuthority(join(directory, 'authorities'), 'default/egress')
  trust = installTrust(
    planTrust(readHostRoots(), authority.certificatePem, authority.subjectHash),
    join(directory, 'trust'),
  )
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const certificate = mintLeaf(authority, HOST, key.publicKey.export({ type: 'spki', format: 'der' }), Date.now())
  server = spawn(
    'unshare',
    [
      '--net',
      'sh',
      '-c',
      'ip link set lo up && exec "$@"',
      'sh',
      process.execPath,
      join(import.meta.dirname, 'tls-server.ts'),
      log,
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  server.stdin?.end(JSON.stringify({ key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }), certificate }))
  assert.ok(server.stdout)
  const lines = createInterface(server.stdout)
  await once(lines, 'line') // ready
})

after(async () => {
  if (server !== undefined && server.exitCode === null) {
    server.kill()
    await once(server, 'exit')
  }
  fs.rmSync(directory, { recursive: true, force: true })
})

test('this machine has the clients that every machine must have', () => {
  const names = CLIENTS.map(({ name }) => name)
  for (const name of ['curl', 'openssl', 'urllib', 'node24']) assert.ok(names.includes(name), name)
})

for (const user of Object.keys(USERS) as (keyof typeof USERS)[]) {
  for (const client of CLIENTS) {
    test(`${client.name} trusts the CA (${user})`, async () => {
      const { output, arrived } = await run(client, user, trust)
      assert.ok(arrived, output)
    })
  }
}

for (const client of CLIENTS) {
  test(`${client.name} does not trust it without the plan`, async () => {
    const { arrived } = await run(client, 'the host root', NO_TRUST)
    assert.ok(!arrived)
  })
}

/** Did the client's request arrive over TLS? A client's exit code says less: npm fails on what the server answers. */
async function run(client: Client, user: keyof typeof USERS, plan: TrustPlan) {
  fs.writeFileSync(log, '')
  const argv = client.argv.map(argument => argument.replace('TOOLS', tools))
  const child = spawn(
    'nsenter',
    [
      `--net=/proc/${server.pid}/ns/net`,
      ...(user === 'the host root' ? [] : STRANGER),
      ...['bwrap', ...USERS[user], '--unshare-pid', '--die-with-parent', '--cap-drop', 'ALL'],
      ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/run', '--dir', '/run/home'],
      ...['--ro-bind', join(directory, 'hosts'), '/etc/hosts', '--chdir', '/run/home'],
      ...plan.binds.flatMap(({ source, target }) => ['--ro-bind', source, target]),
      ...['--', ...argv],
    ],
    {
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin',
        HOME: '/run/home',
        PYTHONPATH: join(tools, 'python'),
        ...plan.environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { output: stdout + stderr, arrived: fs.readFileSync(log, 'utf8').startsWith(`/${client.name}`) }
}

/** Copies, since a clone may lie below a home that others cannot enter. */
function prepareTools(): void {
  fs.chmodSync(directory, 0o755)
  fs.mkdirSync(tools)
  fs.writeFileSync(join(directory, 'hosts'), `127.0.0.1 localhost ${HOST}\n`)
  fs.copyFileSync(process.execPath, join(tools, 'node24'))
  fs.writeFileSync(join(tools, 'Client.java'), JAVA_CLIENT)
  const packages = join(cache, 'python')
  if (!fs.existsSync(join(packages, 'httpx'))) {
    execFileSync(
      '/usr/bin/python3',
      ['-m', 'pip', 'install', '--quiet', '--target', packages, 'requests==2.34.2', 'httpx==0.28.1'],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
  }
  fs.cpSync(packages, join(tools, 'python'), { recursive: true })
  if (CLIENTS.some(({ name }) => name === 'go')) {
    fs.writeFileSync(join(directory, 'client.go'), GO_CLIENT)
    execFileSync(GO, ['build', '-o', join(tools, 'client'), join(directory, 'client.go')], {
      env: { ...process.env, CGO_ENABLED: '0', GOPROXY: 'off', GOTOOLCHAIN: 'local', GOCACHE: join(cache, 'go') },
    })
  }
  execFileSync('chmod', ['-R', 'a+rX', tools])
}
