/** The audit lines of one sandbox: every denial once a minute for each subject, so that a loop cannot flood the log. */
import { type ClrkFault, describe } from '../errors.ts'
import type { AuditLine, SandboxIdentity } from '../shard/protocol.ts'
import { tokenBucket } from './token-bucket.ts'

export type AuditSubject = {
  readonly action: AuditLine['action']
  readonly protocol: AuditLine['protocol']
  readonly name: string | null
  readonly address: string | null
  readonly port: number | null
  readonly fault: ClrkFault
}

export type Audit = (subject: AuditSubject) => void

const REPEAT_MS = 60_000
const SUBJECTS = 1_024
const BURST = 200
const PER_SECOND = 20

export function createAudit(sandbox: SandboxIdentity, gateway: string, send: (line: AuditLine) => void): Audit {
  const last = new Map<string, number>()
  const rate = tokenBucket(BURST, PER_SECOND)
  return ({ action, protocol, name, address, port, fault }) => {
    const key = `${action} ${protocol} ${name} ${address} ${port} ${fault.code}`
    const now = performance.now()
    if (now - (last.get(key) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS || !rate.take()) return
    if (last.size >= SUBJECTS) last.clear()
    last.set(key, now)
    send({
      time: new Date().toISOString(),
      sandbox: sandbox.id,
      agent: `${sandbox.agentKind}/${sandbox.agentNamespace}/${sandbox.agentName}`,
      gateway,
      action,
      protocol,
      name,
      address,
      port,
      fault,
      why: describe(fault).why,
    })
  }
}

/** Whatever is refused for a limit is said, too. */
export function reportLimit(audit: Audit, limit: string, maximum: number, name: string | null): void {
  const fault = { code: 'CLRK_LIMIT', details: { limit, maximum } } as const
  audit({ action: 'denied', protocol: 'tcp', name, address: null, port: null, fault })
}
