/** What a contender is to the benchmark, whatever it is made of. */
import type { Processes } from './processes.ts'
import type { Shell } from './shell.ts'
import type { Tool } from './tools.ts'

export const CONTENDERS = ['direct', 'splice', 'nginx', 'haproxy', 'goproxy', 'squid', 'mitmproxy', 'clrk'] as const
export type ContenderName = (typeof CONTENDERS)[number]

export type Contender = {
  readonly name: ContenderName
  readonly version: string
  /** What the load sends as its credential: the right one where nobody puts it there. */
  readonly authorization: string
  readonly http2: boolean
  /** Exports a span for each request. */
  readonly records: boolean
  /** All that works for it; null: nobody does. */
  readonly processes: Processes | null
  /** What its memory is said of: for clrk one shard. */
  readonly resident: Processes | null
  /** From now on what the load sends goes through it. */
  readonly lead: () => void
  readonly shell: Shell
  /** A shell whose sandbox has not been used; limits for each sandbox count anew there. */
  readonly openFreshShell: () => Promise<Shell>
  /** Rejects where its own counts differ from `requests`, the number that the origins saw in the whole run. */
  readonly close: (requests: number) => Promise<void>
}

export const NEEDS: Readonly<Record<ContenderName, readonly Tool[]>> = {
  direct: [],
  splice: ['nginxStream'],
  nginx: [],
  haproxy: ['haproxy'],
  goproxy: ['goproxy'],
  squid: ['squid', 'squidHelper'],
  mitmproxy: ['mitmdump'],
  clrk: [],
}
