/** What the tests of this folder do in a world: dials on its host, proxies on its far side, addresses that are dead. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { REPOSITORY } from '../world/clrk.ts'
import type { World } from '../world/world.ts'
import type { ProxyOptions, ProxyReport } from './connect-proxy.ts'
import type { Dials, Outcome } from './dials.ts'

export async function dial(world: World, dials: Dials): Promise<readonly Outcome[]> {
  const program = join(REPOSITORY, 'test/upstream/dials.ts')
  const { stdout, stderr } = await world.host([process.execPath, program, JSON.stringify(dials)])
  assert.match(stdout, /^\[/, stderr)
  return JSON.parse(stdout) as readonly Outcome[]
}

export type Proxy = {
  /** PEM of the CA of its certificate. */
  readonly authority: string
  /** Every head that it got so far. */
  readonly heads: () => readonly string[]
}

/** At `port` of every address of the far machine, `private.example.com` among them. */
export async function startProxy(world: World, options: ProxyOptions): Promise<Proxy> {
  await freePort(world, options.port)
  const program = join(REPOSITORY, 'test/upstream/connect-proxy.ts')
  const running = world.spawnInternet([process.execPath, program, JSON.stringify(options)])
  await running.saw(/"authority".*\n/)
  const reports = () =>
    running
      .written()
      .stdout.split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as ProxyReport)
  const [first] = reports()
  assert.ok(first !== undefined && 'authority' in first)
  return {
    authority: first.authority,
    heads: () => reports().flatMap(report => ('head' in report ? [report.head] : [])),
  }
}

/** `port` of the far machine's addresses is no longer the sink's: it refuses unless something listens. */
export function freePort(world: World, port: number): Promise<void> {
  return nft(world, `insert rule inet world stand_ins tcp dport ${port} return`)
}

/** TCP that matches (nft) gets no answer at all. */
export function drop(world: World, match: string): Promise<void> {
  const chain = 'type filter hook prerouting priority -200; policy accept;'
  return nft(world, `table inet dead { chain arriving { ${chain} iifname "down0" ${match} drop; }; }`)
}

async function nft(world: World, rules: string): Promise<void> {
  const { code, stderr } = await world.spawnInternet(['nft', '-f', '-'], { input: `${rules}\n` }).exited
  assert.equal(code, 0, stderr)
}
