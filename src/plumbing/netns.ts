/** A sandbox's network namespace from nothing to proven: the order of operations of NETNS.md §11. */
import { closeDescriptor, createNetworkNamespace } from '../kernel/syscalls.ts'
import { applyPlumbing, proveRedirect } from './apply.ts'
import { planPlumbing } from './plan.ts'
import { closeSockets, openSockets, type SandboxSockets } from './sockets.ts'

export type PlumbedNamespace = {
  /** Descriptor of the namespace, close-on-exec; `path` names it for other processes of root. */
  readonly netns: number
  readonly path: string
  readonly sockets: SandboxSockets
  /** Closes sockets and namespace: whatever is still inside is cut off. */
  readonly close: () => void
}

/**
 * Plumbs `netns`, which it then owns: a fresh one, or that of a pause container. Throws CLRK_TOOL_MISSING or
 * CLRK_PLUMBING_FAILED and leaves nothing behind.
 */
export async function plumbNamespace(netns: number = createNetworkNamespace()): Promise<PlumbedNamespace> {
  try {
    await applyPlumbing(netns, planPlumbing())
    const sockets = openSockets(netns)
    try {
      proveRedirect(netns, sockets[0])
    } catch (error) {
      closeSockets(sockets)
      throw error
    }
    return plumbedNamespace(netns, sockets)
  } catch (error) {
    closeDescriptor(netns)
    throw error
  }
}

export function plumbedNamespace(netns: number, sockets: SandboxSockets): PlumbedNamespace {
  let open = true
  return {
    netns,
    path: `/proc/${process.pid}/fd/${netns}`,
    sockets,
    close: () => {
      if (!open) return
      open = false
      closeSockets(sockets)
      closeDescriptor(netns)
    },
  }
}
