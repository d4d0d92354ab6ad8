/**
 * Runs a client with chosen parts of the trust store, in bubblewrap, against a TLS server with a leaf of a gateway's
 * CA. Client and server share a network namespace with nothing but `lo`.
 */
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { loadOrCreateAuthority } from '../../src/pki/authority.ts'
import { mintLeaf } from '../../src/pki/leaf.ts'
import { readHostRoots } from '../../src/trust/image-roots.ts'
import { installTrust } from '../../src/trust/install.ts'
import { planTrust } from '../../src/trust/plan.ts'
import { type Client, commandOf, HOST, type Part } from './clients.ts'

export type Range = {
  /** Every part of the trust store: files by kind, variables by name. */
  readonly parts: readonly Part[]
  /** What the client offered by ALPN (`none`: no ALPN), or null when it did not take the certificate. */
  readonly run: (client: Client, parts: readonly Part[]) => Promise<{ offered: string | null; output: string }>
  readonly close: () => Promise<void>
}

export async function openRange(): Promise<Range> {
  const directory = fs.mkdtempSync(join(tmpdir(), 'clrk-roots-'))
  fs.chmodSync(directory, 0o755)
  const authority = loadOrCreateAuthority(join(directory, 'authorities'), 'default/egress')
  const plan = planTrust(readHostRoots(), authority.certificatePem, authority.subjectHash)
  const { binds, environment } = installTrust(plan, join(directory, 'trust'))
  const log = join(directory, 'served')
  const argv = ['sh', '-c', 'ip link set lo up && exec "$@"', 'sh', process.execPath, SERVER, log]
  const server = spawn('unshare', ['--net', ...argv], { stdio: ['pipe', 'pipe', 'inherit'] })
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const certificate = mintLeaf(authority, HOST, key.publicKey.export({ type: 'spki', format: 'der' }), Date.now())
  server.stdin.end(JSON.stringify({ key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }), certificate }))
  await once(createInterface(server.stdout), 'line') // ready
  fs.writeFileSync(join(directory, 'hosts'), `127.0.0.1 localhost ${HOST}\n`)

  /** The certs directory holds the merged bundle, the CA under its hash and Java's keystore: those that are asked for. */
  function certsDirectory(source: string, parts: readonly Part[]): string {
    const copy = join(directory, 'certs', parts.toSorted().join('-'))
    if (fs.existsSync(copy)) return copy
    fs.cpSync(source, copy, { recursive: true, verbatimSymlinks: true })
    for (const [part, file] of IN_CERTS) {
      if (!parts.includes(part) && fs.existsSync(join(copy, file))) {
        fs.copyFileSync(join('/etc/ssl/certs', file), join(copy, file))
      }
    }
    if (!parts.includes('hash')) {
      for (const name of fs.readdirSync(copy)) {
        const file = join(copy, name)
        if (name.startsWith(`${authority.subjectHash}.`) && fs.lstatSync(file).isFile()) fs.rmSync(file)
      }
    }
    return copy
  }

  function files(parts: readonly Part[]) {
    return binds.flatMap(({ source, target }) => {
      if (target.startsWith('/run/')) return [{ source, target }] // what variables point at
      if (target === '/etc/ssl/certs') {
        const here = parts.filter(part => part === 'hash' || IN_CERTS.some(([name]) => name === part))
        return here.length === 0 ? [] : [{ source: certsDirectory(source, here), target }]
      }
      const kind = /cacerts$|\.jks$|\.p12$/.test(target) ? 'keystore' : 'bundle'
      return parts.includes(kind) ? [{ source, target }] : []
    })
  }

  return {
    parts: ['bundle', 'hash', 'keystore', ...Object.keys(environment)],
    run: async (client, parts) => {
      fs.writeFileSync(log, '')
      const child = spawn(
        'nsenter',
        [
          ...[`--net=/proc/${server.pid}/ns/net`, 'timeout', '20'],
          ...['bwrap', '--unshare-pid', '--die-with-parent', '--cap-drop', 'ALL'],
          ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/run', '--dir', '/run/home'],
          ...['--ro-bind', join(directory, 'hosts'), '/etc/hosts', '--chdir', '/run/home'],
          ...files(parts).flatMap(({ source, target }) => ['--ro-bind', source, target]),
          ...['--', ...commandOf(client)],
        ],
        {
          env: {
            ...{ PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/run/home', ...client.env },
            ...Object.fromEntries(Object.entries(environment).filter(([name]) => parts.includes(name))),
          },
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
      return { output: stdout + stderr, offered: fs.readFileSync(log, 'utf8').split('\n')[0] || null }
    },
    close: async () => {
      server.kill()
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
      fs.rmSync(directory, { recursive: true, force: true })
    },
  }
}

const IN_CERTS = [
  ['bundle', 'ca-certificates.crt'],
  ['keystore', 'java/cacerts'],
] as const
const SERVER = join(import.meta.dirname, 'tls-server.ts')
