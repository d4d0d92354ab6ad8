/** The listeners on an upstream socket: attached once in its life, pointing at whoever has it on lease. */
import type { Duplex } from 'node:stream'

/** Who has the socket on lease. `closed`: it ended or failed; `inOrder` when the upstream ended its side itself. */
export type LegOwner = {
  readonly upstreamData: (chunk: Buffer) => void
  readonly upstreamDrained: () => void
  readonly upstreamClosed: (inOrder: boolean) => void
}

/** From now on `socket` speaks to `owner`; null: to nobody, and one that speaks all the same is destroyed (T130). */
export function ownUpstream(socket: Duplex, owner: LegOwner | null): void {
  const leg = legs.get(socket)
  if (leg !== undefined) leg.owner = owner
  else listen(socket, owner)
  if (socket.isPaused()) socket.resume()
}

function listen(socket: Duplex, first: LegOwner | null): void {
  const leg = { owner: first }
  legs.set(socket, leg)
  socket.on('error', ignore) // 'close' follows
  socket.on('data', chunk => {
    if (leg.owner === null) socket.destroy()
    else leg.owner.upstreamData(chunk)
  })
  socket.on('drain', () => leg.owner?.upstreamDrained())
  socket.on('end', () => {
    leg.owner?.upstreamClosed(true)
    socket.destroy()
  })
  socket.on('close', () => leg.owner?.upstreamClosed(false))
}

function ignore(): void {}

const legs = new WeakMap<Duplex, { owner: LegOwner | null }>()
