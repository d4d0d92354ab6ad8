/** The sockets of one sandbox: made by the worker inside the namespace, accepted on by a shard outside. */
import { bindUdpLoopback, closeDescriptor, insideNetworkNamespace, listenTcp } from '../kernel/syscalls.ts'
import { DNS_PORT, PROXY_PORT } from './plan.ts'

/** In the order of `ATTACH_DESCRIPTORS` (src/shard/protocol.ts). */
export type SandboxSockets = readonly [tcp: number, dnsTcp: number, dnsUdp4: number, dnsUdp6: number]

/** Opens all four or none. Throws with the call and errno (EADDRINUSE: the sandbox holds the port). */
export function openSockets(netns: number): SandboxSockets {
  return insideNetworkNamespace(netns, () => {
    const opened: number[] = []
    const keep = (fd: number) => {
      opened.push(fd)
      return fd
    }
    try {
      return [
        keep(listenTcp(PROXY_PORT)),
        keep(listenTcp(DNS_PORT)),
        keep(bindUdpLoopback(4, DNS_PORT)),
        keep(bindUdpLoopback(6, DNS_PORT)),
      ]
    } catch (error) {
      for (const fd of opened) closeDescriptor(fd)
      throw error
    }
  })
}

export function closeSockets(sockets: SandboxSockets): void {
  for (const fd of sockets) closeDescriptor(fd)
}
