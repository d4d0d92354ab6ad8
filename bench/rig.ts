/**
 * Three pretend machines without an uplink: a client (where the load of other contenders runs), a host (where every
 * contender runs) and a small internet with the origins. They end with this process, however it ends.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Machine, startMachine } from '../test/world/machine.ts'
import { type Certificates, makeCertificates } from './certificates.ts'
import { ADDRESSES, LINKS, NAMES } from './names.ts'
import { type Counts, startOrigins } from './origins.ts'

/** Where things run: contenders on one processor, load and origins on another where there is one. */
export const PROCESSORS = { contender: 0, load: availableParallelism() > 1 ? 1 : 0 } as const

export type Place = 'client' | 'host' | 'internet'

export type Rig = {
  /** On all machines and on the real one. */
  readonly directory: string
  /** What the origins ask for, made up for this run. */
  readonly authorization: string
  readonly certificates: Certificates
  readonly machines: Readonly<Record<Place, Machine>>
  /** Starts a program there, on that processor; it ends with the rig. Its pid is the root of its processes here. */
  readonly spawn: (place: Place, processor: number, argv: readonly string[], options?: SpawnOptions) => ChildProcess
  readonly run: (place: Place, argv: readonly string[], input?: string) => void
  /** Redirects what the client sends to :443 to that port of the host, or routes it straight on. */
  readonly lead: (port: number | null) => void
  readonly counts: () => Promise<Counts>
  readonly close: () => Promise<void>
}

export type SpawnOptions = { readonly log?: string; readonly piped?: boolean; readonly path?: string }

export async function openRig(): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'clrk-bench-'))
  const closers: (() => Promise<void> | void)[] = [() => rmSync(directory, { recursive: true, force: true })]
  const close = async () => {
    for (const step of closers.toReversed()) await step()
    closers.length = 0
  }
  try {
    return await build(directory, closers, close)
  } catch (error) {
    await close()
    throw error
  }
}

async function build(
  directory: string,
  closers: (() => Promise<void> | void)[],
  close: () => Promise<void>,
): Promise<Rig> {
  chmodSync(directory, 0o711) // squid, which is not root, has its own below it
  const authorization = `Bearer bench-${randomBytes(12).toString('hex')}`
  const certificates = makeCertificates(directory)
  const home = join(directory, 'home')
  mkdirSync(home)
  writeFileSync(join(directory, 'hosts'), HOSTS)
  const bundle = join(directory, 'roots.pem')
  writeFileSync(bundle, readFileSync(HOST_BUNDLE, 'utf8') + readFileSync(certificates.originRoot, 'utf8'))

  const machine = async () => {
    const made = await startMachine(SETUP, [join(directory, 'hosts'), bundle], home)
    closers.push(made.close)
    return made
  }
  const machines = { client: await machine(), host: await machine(), internet: await machine() }
  const enter = (place: Place) => ['--target', `${machines[place].init}`, '--net', '--mount', '--pid', '--']
  const run: Rig['run'] = (place, argv, input = '') => {
    execFileSync('nsenter', [...enter(place), ...argv], { input, stdio: ['pipe', 'ignore', 'inherit'] })
  }
  const start: Rig['spawn'] = (place, processor, argv, { log, piped = false, path = SYSTEM_PATH } = {}) => {
    const command = ['taskset', '-c', `${processor}`, ...argv]
    const logged = log === undefined ? command : ['sh', '-c', 'exec >>"$0" 2>&1; exec "$@"', log, ...command]
    return spawn('nsenter', [...enter(place), ...logged], {
      stdio: piped ? ['pipe', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
      env: { PATH: path, HOME: home, LANG: 'C.UTF-8' },
      cwd: directory,
    })
  }
  link(machines, run)
  const origins = await startOrigins({ directory, certificates, authorization, spawn: start })
  return {
    directory,
    authorization,
    certificates,
    machines,
    spawn: start,
    run,
    lead: port => {
      const rule =
        port === null ? '' : `add rule ip bench leading iifname "client0" tcp dport 443 redirect to :${port}\n`
      run('host', ['nft', '-f', '-'], `flush chain ip bench leading\n${rule}`)
    },
    counts: origins.counts,
    close,
  }
}

/** One veth between client and host, one between host and internet; the origins' addresses are on the latter. */
function link({ client, host, internet }: Rig['machines'], run: Rig['run']): void {
  const veth = (name: string, at: Machine, peer: string, of: Machine) =>
    execFileSync('ip', [
      'link',
      'add',
      name,
      'netns',
      `${at.init}`,
      'type',
      'veth',
      'peer',
      'name',
      peer,
      'netns',
      `${of.init}`,
    ])
  veth('up0', client, 'client0', host)
  veth('up0', host, 'down0', internet)
  const device = (name: string, address: string) => `addr add ${address}/24 dev ${name}\nlink set ${name} up\n`
  const batch = (place: Place, text: string) => run(place, ['ip', '-batch', '-'], `link set lo up\n${text}`)
  batch('client', `${device('up0', LINKS.client)}route add default via ${LINKS.hostToClient}\n`)
  batch(
    'host',
    `${device('client0', LINKS.hostToClient)}${device('up0', LINKS.hostToInternet)}route add default via ${LINKS.internet}\n`,
  )
  const origins = Object.values(ADDRESSES).map(address => `addr add ${address}/32 dev lo\n`)
  batch(
    'internet',
    `${device('down0', LINKS.internet)}${origins.join('')}route add default via ${LINKS.hostToInternet}\n`,
  )
  for (const place of ['client', 'host', 'internet'] as const) run(place, ['sysctl', '-qw', ...NETWORK_SETTINGS])
  run('host', ['sysctl', '-qw', 'net.ipv4.ip_forward=1'])
  run(
    'host',
    ['nft', '-f', '-'],
    'table ip bench {\n chain leading {\n type nat hook prerouting priority -100;\n }\n}\n',
  )
}

const HOST_BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const HOSTS = `127.0.0.1 localhost\n${ADDRESSES.api} ${NAMES.api}\n${ADDRESSES.bulk} ${NAMES.bulk}\n`
/** Thousands of connections a second between two addresses. */
const NETWORK_SETTINGS = [
  'net.ipv4.ip_local_port_range=20000 65000',
  'net.ipv4.tcp_tw_reuse=1',
  'net.core.somaxconn=4096',
  'net.ipv4.tcp_max_syn_backlog=8192',
]
/** Squid leaves shared memory behind. $1: its hosts file, $2: the roots that its programs trust. */
const SETUP = `mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/lock
mount -t tmpfs tmpfs /dev/shm
mount --bind "$1" /etc/hosts; mount --bind "$2" ${HOST_BUNDLE}`
