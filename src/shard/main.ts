/**
 * The process entry of a shard: hosts sandbox proxies without any privilege. It gets sockets, policies and secrets from
 * the worker and ends when the worker's channel closes: a shard never outlives its worker (T134).
 */
import { networkInterfaces } from 'node:os'

import { messageOf } from '../errors.ts'
import { closeDescriptor, forbidCoreDump, receiveDescriptors } from '../kernel/syscalls.ts'
import { parseAddress } from '../policy/addresses.ts'
import { canonicalName } from '../policy/names.ts'
import { createGateway, type GatewayEnvironment, type ProxyGateway } from '../proxy/gateway.ts'
import { createSandboxProxy, type SandboxDescriptors, type SandboxProxy } from '../proxy/sandbox-proxy.ts'
import { createLeafCache, createLeafKey } from '../tls/terminate.ts'
import { collectWhenIdle } from './idle.ts'
import { ATTACH_DESCRIPTORS, type ToShard, type ToWorker } from './protocol.ts'
import { createSigning } from './signing.ts'

/** The descriptor channel, beside the IPC channel. */
const DESCRIPTOR_CHANNEL = 3

const HOST_ADDRESSES_MS = 1_000

function send(message: ToWorker): void {
  if (process.connected) process.send?.(message)
}

function main(): void {
  forbidCoreDump()
  collectWhenIdle()
  process.on('disconnect', () => process.exit(0))
  // One agent's bytes must never end the proxy of another's: what escapes every handler is reported, and that is all.
  process.on('uncaughtException', error =>
    send({ type: 'log', level: 'error', message: messageOf(error.stack ?? error) }),
  )
  process.on('unhandledRejection', error => send({ type: 'log', level: 'error', message: messageOf(error) }))

  const leafKey = createLeafKey()
  const signing = createSigning(send)
  const leaves = createLeafCache(leafKey, signing.sign)
  const gateways = new Map<string, ProxyGateway>()
  const sandboxes = new Map<string, { proxy: SandboxProxy; gateway: string }>()
  const journals = new Map<string, () => void>()
  let watched = false
  let environment: GatewayEnvironment | null = null

  function receive(message: ToShard): void {
    switch (message.type) {
      case 'start':
        environment = {
          roots: message.roots,
          hostAddresses,
          tee: (signal, payload) => send({ type: 'telemetry', signal, payload }),
          warn: text => send({ type: 'log', level: 'warn', message: text }),
        }
        return send({ type: 'ready', pid: process.pid, leafKey: leafKey.publicKey.toString('base64') })
      case 'gateway': {
        const known = gateways.get(message.gateway)
        if (known === undefined) {
          if (environment === null) return
          const made = createGateway(message.gateway, message.state, environment)
          made.watch(watched)
          gateways.set(message.gateway, made)
          return
        }
        known.update(message.state)
        for (const { proxy, gateway } of sandboxes.values()) if (gateway === message.gateway) proxy.recheck()
        return
      }
      case 'forget-gateway': {
        const known = gateways.get(message.gateway)
        gateways.delete(message.gateway)
        leaves.forget(message.gateway)
        known?.close().catch(() => {}) // it has reported what it could not send
        return
      }
      case 'attach':
        return attach(message)
      case 'detach':
        return void detach(message.sandbox)
      case 'signed':
        return signing.signed(message)
      case 'journalled': {
        const key = `${message.sandbox} ${message.index}`
        journals.get(key)?.()
        journals.delete(key)
        return
      }
      case 'watch':
        watched = message.on
        for (const gateway of gateways.values()) gateway.watch(watched)
        return
    }
  }

  function attach({ sandbox, gateway: id, names }: Extract<ToShard, { type: 'attach' }>): void {
    const descriptors = takeDescriptors(sandbox.id)
    try {
      const gateway = gateways.get(id)
      if (gateway === undefined) throw new Error(`EgressGateway ${id} is not known`)
      const proxy = createSandboxProxy({
        identity: sandbox,
        gateway,
        descriptors,
        names: names.map(canonicalName).filter(name => name !== null),
        journal: (index, name) =>
          new Promise(resolve => {
            journals.set(`${sandbox.id} ${index}`, resolve)
            send({ type: 'journal', sandbox: sandbox.id, index, name })
          }),
        leaves,
        audit: line => send({ type: 'audit', line }),
      })
      sandboxes.set(sandbox.id, { proxy, gateway: id })
      send({ type: 'attached', sandbox: sandbox.id })
    } catch (error) {
      for (const fd of Object.values(descriptors)) closeDescriptor(fd)
      send({ type: 'attach-failed', sandbox: sandbox.id, reason: messageOf(error) })
    }
  }

  async function detach(id: string): Promise<void> {
    const hosted = sandboxes.get(id)
    sandboxes.delete(id)
    for (const key of journals.keys()) if (key.startsWith(`${id} `)) journals.delete(key)
    hosted?.proxy.close()
    const counters = hosted?.proxy.counters ?? { connections: 0, requests: 0, injected: 0, denied: 0, recorded: 0 }
    await gateways
      .get(hosted?.gateway ?? '')
      ?.exporter()
      .flush()
      .catch(() => {})
    send({ type: 'detached', sandbox: id, counters })
  }

  process.on('message', message => {
    try {
      receive(message as ToShard)
    } catch (error) {
      send({ type: 'log', level: 'error', message: `${(message as ToShard).type}: ${messageOf(error)}` })
    }
  })
}

/** The packet that was sent before this `attach`: its label must be the sandbox's id. */
function takeDescriptors(sandbox: string): SandboxDescriptors {
  const { label, descriptors } = receiveDescriptors(DESCRIPTOR_CHANNEL)
  const [tcp, dnsTcp, dnsUdp4, dnsUdp6] = descriptors
  const complete = descriptors.length === ATTACH_DESCRIPTORS.length
  if (!complete || tcp === undefined || dnsTcp === undefined || dnsUdp4 === undefined || dnsUdp6 === undefined) {
    throw new Error(`${descriptors.length} descriptors came with ${label}`)
  }
  if (label !== sandbox) throw new Error(`the descriptors of ${label} came with ${sandbox}`)
  return { tcp, dnsTcp, dnsUdp4, dnsUdp6 }
}

let cachedAddresses: ReadonlySet<string> = new Set()
let cachedAt = Number.NEGATIVE_INFINITY

/** The host's own addresses, canonical, at most a second old: they are never dialled (T131). */
function hostAddresses(): ReadonlySet<string> {
  const now = performance.now()
  if (now - cachedAt < HOST_ADDRESSES_MS) return cachedAddresses
  cachedAt = now
  const all = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  cachedAddresses = new Set(all.map(({ address }) => parseAddress(address)).filter(address => address !== null))
  return cachedAddresses
}

// Without a worker it is only being loaded (warm.ts).
if (process.send !== undefined) main()
