/** Starts the contenders other than clrk, each on the host machine, on the contenders' processor. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { haproxy, mitmproxy, nginx, nginxStream, type Setting, squid } from './configurations.ts'
import type { Contender, ContenderName } from './contender.ts'
import { PLACEHOLDER } from './names.ts'
import { PROCESSORS, type Rig } from './rig.ts'
import type { Shell } from './shell.ts'
import { TOOLS, versionOf } from './tools.ts'

export type PeerName = Exclude<ContenderName, 'clrk'>

/** Resolves when it accepts. `shell` is the plain one, which all of them share. */
export async function startPeer(rig: Rig, name: PeerName, shell: Shell): Promise<Contender> {
  const { version, port, command } = PEERS[name]
  const home = join(rig.directory, name)
  mkdirSync(home)
  const { authorization, certificates } = rig
  const argv = command({ home, port, authorization, certificates })
  const child = argv.length === 0 ? null : rig.spawn('host', PROCESSORS.contender, argv, { log: join(home, 'log') })
  if (child !== null) await listens(rig, port, name, () => child.exitCode === null, join(home, 'log'))
  const processes = child?.pid === undefined ? null : { proc: '/proc', roots: [child.pid] }
  const transparent = name === 'direct' || name === 'splice'
  return {
    name,
    version: version(),
    authorization: transparent ? authorization : PLACEHOLDER,
    http2: name !== 'splice' && name !== 'squid' && name !== 'goproxy',
    records: false,
    processes,
    resident: processes,
    lead: () => rig.lead(child === null ? null : port),
    shell,
    openFreshShell: async () => ({ run: shell.run, close: async () => [] }),
    close: async () => {}, // it ends with the rig
  }
}

type Peer = {
  readonly version: () => string
  /** Outside the range that connections to the origins take theirs from. */
  readonly port: number
  /** Writes what it needs; empty where nothing is to be started. */
  readonly command: (setting: Setting) => readonly string[]
}

const PEERS: Readonly<Record<PeerName, Peer>> = {
  direct: { version: () => '', port: 0, command: () => [] },
  splice: {
    version: () => versionOf([TOOLS.nginx, '-v']),
    port: 9001,
    command: setting => [TOOLS.nginx, '-c', written(setting, nginxStream(setting, TOOLS.nginxStream))],
  },
  nginx: {
    version: () => versionOf([TOOLS.nginx, '-v']),
    port: 9002,
    command: setting => [TOOLS.nginx, '-c', written(setting, nginx(setting))],
  },
  haproxy: {
    version: () => versionOf([TOOLS.haproxy, '-v']),
    port: 9003,
    command: setting => [TOOLS.haproxy, '-db', '-f', written(setting, haproxy(setting))],
  },
  goproxy: {
    version: () => {
      const module = readFileSync(join(import.meta.dirname, 'goproxy/go.mod'), 'utf8')
      return /goproxy v(\S+)/.exec(module)?.[1] ?? 'unknown'
    },
    port: 9004,
    command: ({ port, authorization, certificates }) => {
      const { proxyRoot, proxyRootKey, originRoot } = certificates
      return ['env', 'GOMAXPROCS=1', TOOLS.goproxy, `:${port}`, proxyRoot, proxyRootKey, originRoot, authorization]
    },
  },
  squid: {
    version: () => versionOf([TOOLS.squid, '-v']),
    port: 9005,
    command: setting => {
      execFileSync(TOOLS.squidHelper, ['-c', '-s', join(setting.home, 'certificates'), '-M', '64MB'], {
        stdio: 'ignore',
      })
      const file = written(setting, squid(setting, TOOLS.squidHelper))
      execFileSync('chown', ['-R', 'proxy:proxy', setting.home]) // it refuses to run as root
      return [TOOLS.squid, '-N', '-f', file]
    },
  },
  mitmproxy: {
    version: () => versionOf([TOOLS.mitmdump, '--version']),
    port: 9010,
    command: setting => [
      ...[TOOLS.mitmdump, '-q', '--mode', 'transparent', '--listen-port', `${setting.port}`],
      ...[
        '--set',
        `confdir=${setting.home}`,
        '--set',
        'flow_detail=0',
        '-s',
        written(setting, mitmproxy(setting), '.py'),
      ],
      ...['--set', `ssl_verify_upstream_trusted_ca=${setting.certificates.originRoot}`],
    ],
  },
}

function written({ home }: Setting, text: string, extension = '.conf'): string {
  const path = join(home, `configuration${extension}`)
  writeFileSync(path, text)
  return path
}

/** Until the port is listened on in the host's namespace; without a connection, which some would log. */
async function listens(rig: Rig, port: number, name: string, lives: () => boolean, log: string): Promise<void> {
  const wanted = new RegExp(`^\\s*\\d+: \\S+:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 0A `, 'm')
  for (let waited = 0; waited < 20_000; waited += 50) {
    const tables = ['tcp', 'tcp6'].map(table => readFileSync(`/proc/${rig.machines.host.init}/net/${table}`, 'latin1'))
    if (tables.some(table => wanted.test(table))) return
    if (!lives()) break
    await sleep(50)
  }
  throw new Error(`bench: ${name} does not listen on ${port}:\n${readFileSync(log, 'utf8')}`)
}
