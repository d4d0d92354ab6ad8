/** How a connection that goes nowhere ends: counted, audited, reset. */
import type { Socket } from 'node:net'
import type { ClrkFault } from '../errors.ts'
import type { Target } from '../policy/decide-connection.ts'
import type { SandboxContext } from './context.ts'
import { reset } from './deny.ts'

/** Where the agent was going. */
export type Destination = { readonly target: Target; readonly address: string; readonly port: number }

export function refuse(
  context: SandboxContext,
  socket: Socket,
  destination: Destination,
  fault: ClrkFault,
  protocol: 'tcp' | 'tls' | 'http',
  action: 'denied' | 'failed' = 'denied',
): void {
  if (action === 'denied') refused(context, destination, fault, protocol, null)
  else report(context, destination, fault, protocol, action)
  reset(socket)
}

export function refused(
  context: SandboxContext,
  destination: Destination,
  fault: ClrkFault,
  protocol: 'tcp' | 'tls' | 'http',
  name: string | null,
): void {
  context.counters.denied += 1
  report(context, destination, fault, protocol, 'denied', name)
}

export function report(
  context: SandboxContext,
  { target, address, port }: Destination,
  fault: ClrkFault,
  protocol: 'tcp' | 'tls' | 'http',
  action: 'denied' | 'failed' | 'would-deny',
  name: string | null = null,
): void {
  context.audit({
    action,
    protocol,
    name: name ?? (target.kind === 'name' ? target.name : null),
    address: target.kind === 'address' ? address : null,
    port,
    fault,
  })
}
