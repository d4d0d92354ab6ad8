/**
 * The proxy of one sandbox: its own listening sockets, names, limits and counters. It knows its sandbox because it
 * owns the sockets inside that sandbox's namespace; nothing that the agent sends can claim another identity (T100).
 */
import { createServer, type Socket } from 'node:net'
import { listenDns } from '../dns/listen.ts'
import type { NameAnswer } from '../dns/responder.ts'
import { createNameTable, EXPLAINING_ADDRESS } from '../dns/virtual-addresses.ts'
import { LIMITS } from '../limits.ts'
import { decideName } from '../policy/decide-name.ts'
import { canonicalName } from '../policy/names.ts'
import type { HostName } from '../policy/policy.ts'
import type { AuditLine, SandboxCounters, SandboxIdentity } from '../shard/protocol.ts'
import type { LeafCache } from '../tls/terminate.ts'
import { createAudit, reportLimit } from './audit.ts'
import { handleConnection, type Revocable } from './connection.ts'
import type { SandboxContext } from './context.ts'
import type { ProxyGateway } from './gateway.ts'
import { tokenBucket } from './token-bucket.ts'

export type SandboxProxy = {
  readonly counters: SandboxCounters
  /** Closes connections that the gateway's policy, changed meanwhile, no longer allows (T67). */
  readonly recheck: () => void
  readonly close: () => void
}

export type SandboxDescriptors = {
  readonly tcp: number
  readonly dnsTcp: number
  readonly dnsUdp4: number
  readonly dnsUdp6: number
}

export function createSandboxProxy(options: {
  readonly identity: SandboxIdentity
  readonly gateway: ProxyGateway
  readonly descriptors: SandboxDescriptors
  readonly names: readonly HostName[]
  readonly journal: (index: number, name: HostName) => Promise<void>
  readonly leaves: LeafCache
  readonly audit: (line: AuditLine) => void
}): SandboxProxy {
  const { identity, gateway, descriptors } = options
  const context: SandboxContext = {
    identity,
    gateway,
    names: createNameTable(options.names, options.journal),
    leaves: options.leaves,
    audit: createAudit(identity, gateway.id, options.audit),
    counters: { connections: 0, requests: 0, injected: 0, denied: 0, recorded: 0 },
    mint: {
      allowed: tokenBucket(LIMITS.leafBurst, LIMITS.leafPerSecond),
      denied: tokenBucket(LIMITS.leafDeniedBurst, LIMITS.leafDeniedPerSecond),
    },
  }
  const open = new Set<Revocable>()

  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket: Socket) => {
    const connection = handleConnection(context, socket)
    open.add(connection)
    socket.on('close', () => open.delete(connection))
  })
  server.maxConnections = LIMITS.connectionsPerSandbox
  server.on('drop', () => reportLimit(context.audit, 'open connections', LIMITS.connectionsPerSandbox, null))
  server.on('error', () => {})
  server.listen({ fd: descriptors.tcp, backlog: 4096 })

  const dns = listenDns({ tcp: descriptors.dnsTcp, udp4: descriptors.dnsUdp4, udp6: descriptors.dnsUdp6 }, name =>
    lookUp(context, name),
  )

  return {
    counters: context.counters,
    recheck: () => {
      for (const connection of open) connection.recheck()
    },
    close: () => {
      server.close()
      dns.close()
      for (const connection of open) connection.destroy()
    },
  }
}

async function lookUp(context: SandboxContext, asked: string): Promise<NameAnswer> {
  const { gateway, names, audit } = context
  const name = canonicalName(asked)
  if (name === null) return null
  const decision = decideName(gateway.policy(), name)
  if (decision === 'virtual') {
    const address = await names.addressOf(name)
    if (address === null) reportLimit(context.audit, 'names', LIMITS.namesPerSandbox, name)
    return address ?? 'full'
  }
  const details = { gateway: gateway.id, name, port: 443 }
  audit({
    action: 'denied',
    protocol: 'dns',
    name,
    address: null,
    port: null,
    fault: { code: 'CLRK_NAME_NOT_ALLOWED', details },
  })
  return decision === 'explain' ? EXPLAINING_ADDRESS : null
}
