/** Taking over a namespace that an earlier worker plumbed and whose agent lives on in it: proven first, never mended. */
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import { closeDescriptor, createNetworkNamespace } from '../kernel/syscalls.ts'
import { applyPlumbing, proveRedirect, readInside } from './apply.ts'
import { type PlumbedNamespace, plumbedNamespace } from './netns.ts'
import { planPlumbing } from './plan.ts'
import { closeSockets, openSockets, type SandboxSockets } from './sockets.ts'

/**
 * Owns `netns` from now on. Rules, addresses and routes must be exactly those of a namespace that was plumbed just now;
 * the sockets, which ended with their worker, are made again at the same addresses. What connects before a shard accepts
 * waits; what was waiting during the proof is reset.
 *
 * Rejects with an Error that says what is not as it should be: a rule, an address, a route, somebody else's socket where
 * ours was; closes `netns` then.
 */
export async function adoptNamespace(netns: number): Promise<PlumbedNamespace> {
  try {
    const [expected, found] = await Promise.all([describeFresh(), describe(netns)])
    const [step] = Object.keys(expected).filter(name => expected[name] !== found[name])
    if (step !== undefined) throw new Error(`its ${step} are not those that clrk made`)
    const sockets = await openAgain(netns)
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

type Description = Readonly<Record<string, string>>

/** What `nft` and `ip` say of a namespace, without counters. */
async function describe(netns: number): Promise<Description> {
  const [rules, addresses, ...routes] = await Promise.all([
    readInside(netns, ['nft', '--stateless', 'list', 'ruleset']),
    readInside(netns, ['ip', '-oneline', 'address', 'show']),
    readInside(netns, ['ip', '-4', 'route', 'show', 'table', 'all']),
    readInside(netns, ['ip', '-6', 'route', 'show', 'table', 'all']),
  ])
  return { rules, addresses, routes: routes.join('\n') }
}

/** Not the text of netns/sandbox.nft: nft prints rules in words of its own, which differ by version. */
async function describeFresh(): Promise<Description> {
  const netns = createNetworkNamespace()
  try {
    await applyPlumbing(netns, planPlumbing())
    return await describe(netns)
  } finally {
    closeDescriptor(netns)
  }
}

/** The shards of a worker that was killed end a moment after it, and hold the sockets until then. */
async function openAgain(netns: number): Promise<SandboxSockets> {
  for (let attempt = 1; ; attempt++) {
    try {
      return openSockets(netns)
    } catch (error) {
      if (attempt === ATTEMPTS) throw new Error(`its sockets cannot be made again: ${messageOf(error)}`)
      await sleep(WAIT_MS)
    }
  }
}

const ATTEMPTS = 20
const WAIT_MS = 50
