/**
 * Dials on a world's host, one after the other, by the code that ships. argv: JSON `Dials`. Out: JSON `Outcome[]`.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { ClrkFault } from '../../src/errors.ts'
import { secretValue } from '../../src/secrets/value.ts'
import { type DialContext, dialTcp, dialTls, faultOf, upstreamTrust } from '../../src/upstream/dial.ts'
import { host, ip, policy } from '../policy/fixtures.ts'
import { gateway } from '../resources/fixtures.ts'

export type Dial = {
  readonly to: string
  readonly port: number
  readonly tls?: boolean
  /** Sent at once, and then the end. */
  readonly send?: string
}

export type Dials = {
  /** Of an allow-all gateway, flow YAML. */
  readonly spec: string
  readonly secrets?: Readonly<Record<string, string>>
  /** PEM trusted beside the host's roots. */
  readonly roots?: string
  readonly dials: readonly Dial[]
}

export type Outcome = { readonly remote: string; readonly received: string } | ClrkFault

if (import.meta.main) {
  const { spec, secrets = {}, roots = '', dials } = JSON.parse(process.argv[2] ?? '') as Dials
  const own = Object.values(networkInterfaces()).flatMap(list => (list ?? []).map(({ address }) => address))
  const context: DialContext = {
    policy: policy(gateway(`defaultPolicy: allow-all, ${spec}`)),
    trust: upstreamTrust(`${readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8')}\n${roots}`),
    hostAddresses: new Set(own),
    secretOf: name => (secrets[name] === undefined ? undefined : secretValue(name, secrets[name])),
  }
  const outcomes: Outcome[] = []
  for (const dial of dials) outcomes.push(await outcome(context, dial).catch(faultOf))
  process.stdout.write(JSON.stringify(outcomes))
}

async function outcome(context: DialContext, { to, port, tls = false, send = '' }: Dial): Promise<Outcome> {
  const target = /^[\d.:a-f]+$/.test(to) ? { address: ip(to) } : { name: host(to) }
  const socket: Socket = tls ? await dialTls(context, host(to), port, undefined) : await dialTcp(context, target, port)
  const remote = socket.remoteAddress ?? ''
  let received = ''
  socket.on('data', chunk => {
    received += chunk.toString('latin1')
  })
  const ended = once(socket, 'close')
  if (tls) socket.write(send)
  else socket.end(send)
  await ended
  return { remote, received }
}
