/** What is done to a fresh network namespace, as data. No policy in it, so a change of policy never touches the kernel. */
import { readFileSync } from 'node:fs'

/** One program to run inside the namespace, with its standard input. */
export type Step = { readonly argv: readonly [string, ...string[]]; readonly stdin: string }

/** Where the sandbox proxy and its DNS responder listen inside; netns/sandbox.nft redirects to them. */
export const PROXY_PORT = 15001
export const DNS_PORT = 15053

/** Ours on `lo`, beside 127.0.0.1 and ::1, so that AI_ADDRCONFIG offers both families. */
export const INSIDE = { ipv4: '100.64.0.2', ipv6: 'fd00:c1::2' } as const

/** netns/sandbox.nft beside the sources in a clone, two levels up from `dist/src` in a package. */
function readRuleset(): string {
  for (const path of ['../../netns/sandbox.nft', '../../../netns/sandbox.nft']) {
    try {
      return readFileSync(new URL(path, import.meta.url), 'utf8')
    } catch {}
  }
  throw new Error('netns/sandbox.nft is missing from this installation')
}

/**
 * Addresses and a default route on `lo`, then the ruleset in one transaction. `ip -batch` takes no `-6` lines;
 * without the route connect() would fail before the output hook is reached (NETNS.md §2).
 */
export function planPlumbing(): readonly Step[] {
  return [
    {
      argv: ['ip', '-batch', '-'],
      stdin: `link set lo up
addr add ${INSIDE.ipv4}/32 dev lo
addr add ${INSIDE.ipv6}/128 dev lo nodad
route add default dev lo src ${INSIDE.ipv4}
route add ::/0 dev lo src ${INSIDE.ipv6}
`,
    },
    { argv: ['nft', '-f', '-'], stdin: readRuleset() },
  ]
}
