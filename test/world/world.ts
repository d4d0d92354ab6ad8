/**
 * A pretend host and a pretend internet, with no way out of either.
 *
 *    world.host(…)  ── up0 ═══ down0 ──  internet.ts: name server, provider, origins; a sink for all the rest
 *    198.35.26.2        veth     198.35.26.1 and, by AnyIP, every other address
 *
 * What a test dials or denies is a real address here and harms nobody. «Silence proves nothing»: world.test.ts shows
 * that each kind of packet which a test expects not to see would have been seen.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import type { Engine } from './engine.ts'
import { eventually } from './eventually.ts'
import { PORTS, type Report } from './internet.ts'
import { type Finished, type Machine, type MachineProcess, type RunOptions, startMachine } from './machine.ts'
import type { Query } from './name-server.ts'
import { HOST_ADDRESSES, NAME_SERVER, servedAddresses, services } from './names.ts'
import type { Recorded } from './origins.ts'

/** Something that reached the internet and was not meant for a stand-in. */
export type Arrival = {
  readonly protocol: string
  readonly source: string
  readonly destination: string
  /** 0 where the protocol has none. */
  readonly port: number
  /** The first 256 bytes after the transport's header, latin1. */
  readonly bytes: string
}

export type World = {
  /** The engine of its host, and the image in which `clrkRun` and its like run; null: the local runtime. */
  readonly engine: Engine | null
  readonly image: string | null
  /** A directory of this world alone, on the real host and on the pretend one; mode 0700. */
  readonly directory: string
  /** The canary: a key that the provider and the git origin take. Every key that begins with `keyPrefix` is one. */
  readonly key: string
  readonly keyPrefix: string
  /** PEM of the CA that signed the stand-ins' certificates. */
  readonly authority: string
  readonly machine: Machine
  readonly host: (argv: readonly string[], options?: RunOptions) => Promise<Finished>
  readonly spawnHost: (argv: readonly string[], options?: RunOptions) => MachineProcess
  /** On the far machine: the server of a `service` in names.ts. */
  readonly spawnInternet: (argv: readonly string[], options?: RunOptions) => MachineProcess
  /** All that the stand-ins were asked so far, in order. */
  readonly requests: () => Promise<readonly Recorded[]>
  /** All names that were asked of the name server. */
  readonly queries: () => Promise<readonly Query[]>
  /** All else that left the host so far. */
  readonly arrivals: () => Promise<readonly Arrival[]>
}

export type WorldOptions = {
  /** Do the host's own roots hold the stand-ins' CA? Default yes, as a real host trusts the real internet. */
  readonly hostTrustsStandIns?: boolean
  /** Before its machines end. */
  readonly ending?: () => Promise<void>
}

export async function createWorld(
  t: TestContext,
  { hostTrustsStandIns = true, ending = async () => {} }: WorldOptions = {},
): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'world-'))
  const repositories = join(directory, 'repositories')
  const home = join(directory, 'home')
  for (const path of [repositories, home]) mkdirSync(path)
  const keyPrefix = `sk-ant-canary-${randomBytes(6).toString('hex')}`

  const resolver = join(directory, 'resolv.conf')
  writeFileSync(resolver, `nameserver ${NAME_SERVER}\n`)
  const machine = await startMachine(HOST_SETUP, [resolver], home)
  const machines = [machine]
  t.after(async () => {
    await endWorkers(machine)
    await ending()
    for (const { close } of machines) await close()
    rmSync(directory, { recursive: true, force: true })
  })
  const far = await startMachine('ip link set lo up', [], home)
  machines.push(far)
  await connect(machine, far)

  const sniffer = far.spawn(['python3', join(HERE, 'sniff.py'), 'down0', served().join(' ')], { input: 'open' })
  const arrivals: Arrival[] = []
  const token = randomBytes(8).toString('hex')
  const marks = new Map<string, () => void>()
  onLines(sniffer, line => {
    const arrival = JSON.parse(line) as Arrival & { ready?: boolean }
    if (arrival.ready === true) return
    if (arrival.bytes.startsWith(token)) marks.get(arrival.bytes)?.()
    else arrivals.push(arrival)
  })

  const requests: Recorded[] = []
  const queries: Query[] = []
  const internet = far.spawn([process.execPath, join(HERE, 'internet.ts'), repositories, keyPrefix], { input: 'open' })
  const ready = Promise.withResolvers<string>()
  const syncs = new Map<number, () => void>()
  onLines(internet, line => {
    const report = JSON.parse(line) as Report
    if (report.type === 'ready') ready.resolve(report.authority)
    else if (report.type === 'request') requests.push(report.request)
    else if (report.type === 'query') queries.push(report.query)
    else syncs.get(report.number)?.()
  })
  internet.exited.then(({ stderr }) => ready.reject(new Error(`the pretend internet ended: ${stderr}`)))
  const [authority] = await Promise.all([ready.promise, sniffer.saw(/ready/)])
  if (hostTrustsStandIns) await trustOnHost(machine, directory, authority)

  let counter = 0
  async function synced<T>(list: readonly T[]): Promise<readonly T[]> {
    const number = ++counter
    const done = new Promise<void>(resolve => syncs.set(number, resolve))
    internet.stdin.write(`sync ${number}\n`)
    await done
    return [...list]
  }
  return {
    engine: null,
    image: null,
    directory,
    key: `${keyPrefix}-first`,
    keyPrefix,
    authority,
    machine,
    host: machine.run,
    spawnHost: machine.spawn,
    spawnInternet: far.spawn,
    requests: () => synced(requests),
    queries: () => synced(queries),
    arrivals: async () => {
      // What was sent before this datagram has arrived before it.
      const mark = `${token}-${++counter}`
      const seen = new Promise<void>(resolve => marks.set(mark, resolve))
      await machine.run(['bash', '-c', `echo -n ${mark} >/dev/udp/${NAME_SERVER}/9`])
      await seen
      return [...arrivals]
    },
  }
}

/** Lets workers end as they should: what they made outside the machine (cgroups) would stay if they were just killed. */
async function endWorkers(machine: Machine): Promise<void> {
  const workers = () => machine.processes().filter(({ argv }) => argv.some(word => /\/api\/main\.[tj]s$/.test(word)))
  const pids = workers().map(({ pid }) => String(pid))
  if (pids.length === 0) return
  await machine.run(['kill', '-TERM', ...pids])
  await machine.run(['kill', '-CONT', ...pids]) // a test that failed may have left it stopped
  await eventually(() => (workers().length === 0 ? true : null)).catch(() => {}) // closing the machine ends it anyway
}

/** Links the two machines and makes every address local on the far one. */
async function connect(near: Machine, far: Machine): Promise<void> {
  const link = ['link', 'add', 'up0', 'netns', String(near.init), 'type', 'veth', 'peer', 'name', 'down0', 'netns']
  const [code] = await once(spawn('ip', [...link, String(far.init)], { stdio: 'inherit' }), 'exit')
  if (code !== 0) throw new Error('the link of a test world could not be made')
  const farAddresses = { v4: NAME_SERVER, v6: '2620:0:862::1' }
  const setUp = (device: string, { v4, v6 }: { v4: string; v6: string }) =>
    `addr add ${v4}/24 dev ${device}\naddr add ${v6}/64 dev ${device} nodad\nlink set ${device} up\n`
  const defaults = `route add default via ${farAddresses.v4}\nroute add default via ${farAddresses.v6}\n`
  // In table main: in table local, IPv6's answers to the host would be caught as well.
  const anywhere = 'route add local 0.0.0.0/0 dev lo table main\nroute add local ::/0 dev lo table main\n'
  for (const [machine, argv, input] of [
    [near, ['ip', '-batch', '-'], setUp('up0', HOST_ADDRESSES) + defaults],
    [far, ['ip', '-batch', '-'], setUp('down0', farAddresses) + anywhere],
    [far, ['nft', '-f', '-'], redirects()],
  ] as const) {
    const { code, stderr } = await machine.run(argv, { input })
    if (code !== 0) throw new Error(`${argv.join(' ')} in a test world: ${stderr}`)
  }
}

/** Binds the host's bundle plus `authority` over it, on the pretend host only. */
async function trustOnHost(machine: Machine, directory: string, authority: string): Promise<void> {
  const bundle = join(directory, 'host-roots.pem')
  writeFileSync(bundle, `${readFileSync(HOST_BUNDLE, 'utf8')}\n${authority}`)
  const { code, stderr } = await machine.run(['mount', '--bind', bundle, HOST_BUNDLE])
  if (code !== 0) throw new Error(`the host's roots in a test world: ${stderr}`)
}

/** Stand-ins' destinations to their servers, every other TCP destination to the sink. */
function redirects(): string {
  const of = (family: 'ip' | 'ip6', addresses = servedAddresses()) =>
    `${family} daddr { ${addresses.filter(address => address.includes(':') === (family === 'ip6')).join(', ')} }`
  const plain = services().flatMap(({ port, v4, v6 }) =>
    (['ip', 'ip6'] as const).map(family => `${of(family, [...v4, ...v6])} tcp dport 80 redirect to :${port}`),
  )
  return `table inet world {
    chain stand_ins {
      type nat hook prerouting priority -100; policy accept;
      ip daddr ${NAME_SERVER} tcp dport 53 return
      ${plain.join('\n      ')}
      ${['ip' as const, 'ip6' as const].map(family => STAND_IN_PORTS.map(([port, to]) => `${of(family)} tcp dport ${port} redirect to :${to}`).join('\n      ')).join('\n      ')}
      meta l4proto tcp redirect to :${PORTS.sink}
    }
  }\n`
}

function served(): readonly string[] {
  const dns = [`udp/${NAME_SERVER}/53`, `tcp/${NAME_SERVER}/53`]
  return [...dns, ...servedAddresses().flatMap(address => STAND_IN_PORTS.map(([port]) => `tcp/${address}/${port}`))]
}

function onLines(source: MachineProcess, handle: (line: string) => void): void {
  createInterface({ input: source.stdout }).on('line', handle)
}

const HERE = import.meta.dirname
const HOST_BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
/** Ports at which stand-ins answer, and the server behind each. 4318: OTLP over HTTP. */
const STAND_IN_PORTS = [
  [443, PORTS.https],
  [80, PORTS.http],
  [4318, PORTS.http],
] as const

/** Its own /run, so that a socket or file left there is seen, and the host's engines are not. $1: its resolv.conf. */
const HOST_SETUP = `
mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/lock
target=$(readlink -f /etc/resolv.conf); mkdir -p "$(dirname "$target")"; [ -e "$target" ] || : >"$target"
mount --bind "$1" "$target"
ip link set lo up`
