/**
 * What must stay as it is for as long as a sandbox runs: memory and descriptors under large transfers and many
 * connections, and one sandbox under the flood of another. Real sandboxes in a world.
 *
 *   npm run soak        2 GB each way, 10,000 connections, a flood of 20 s; prints a table, exits 1 past a bound
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ClrkRun, clrkStatus, REPOSITORY, spawnClrkRun, startWorker } from '../world/clrk.ts'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { addressOf, type NAMES } from '../world/names.ts'
import { createWorld, type World } from '../world/world.ts'

export type SoakScale = { readonly bytes: number; readonly connections: number; readonly floodSeconds: number }

/** One line of the table. */
export type Finding = { readonly what: string; readonly value: number; readonly bound: string; readonly holds: boolean }

/** Runs it all, one part after the other. Rejects where a part does not come to its end. */
export async function soak(t: Pick<TestContext, 'after'>, scale: SoakScale): Promise<readonly Finding[]> {
  // Its own stand-ins have a CA of the same name, which is not to be taken for the one of the origin.
  const world = await createWorld(t as TestContext, { hostTrustsStandIns: false })
  const authority = await startOrigin(world)
  const manifests = [
    gateway({ upstreamTLS: { additionalTrustBundleSecretRef: { name: 'origin' } } }),
    secret('origin', { 'ca.crt': authority }),
    providerRoute({ provider: 'custom', hostnames: [HOST] }, 'soak'),
    injection('soak'),
    secret('soak-credentials', { 'api-key': world.key }),
  ]
  await startWorker(world, [])
  const findings: Finding[] = []
  const note = (what: string, value: number) => findings.push({ what, value, bound: '', holds: true })
  const below = (what: string, value: number, maximum: number) =>
    findings.push({ what, value, bound: `< ${Number(maximum.toFixed(2))}`, holds: value < maximum })

  for (const what of ['download', 'upload', 'connections'] as const) {
    const amount = what === 'connections' ? scale.connections : scale.bytes
    const { growth, descriptors, result, seconds } = await underLoad(world, manifests, what, amount)
    assert.equal(result.done, amount)
    if (what === 'connections') note('connections: a second', amount / seconds)
    else note(`${what}: MB/s`, amount / seconds / 1e6)
    below(`${what}: growth of the shard, MB`, growth / 1e6, MAXIMUM_GROWTH_MB)
    below(`${what}: further descriptors of the shard`, descriptors, MAXIMUM_DESCRIPTORS)
  }

  const flooder = start(world, manifests, 'flood', Number.POSITIVE_INFINITY)
  await flooder.saw(/warm/)
  const { result: other } = await underLoad(world, manifests, 'latency', scale.floodSeconds)
  const flood = await ended(flooder)
  const [quiet, flooded] = [other.quiet as Latency, other.flooded as Latency]
  below('flood: errors of the other sandbox', (other.errors as readonly unknown[]).length, 1)
  note('flood: p50 of it in quiet seconds, ms', quiet.p50)
  below('flood: p50 of it in flooded seconds, ms', flooded.p50, 2 * quiet.p50)
  note('flood: p99 of it in quiet seconds, ms', quiet.p99)
  note('flood: p99 of it in flooded seconds, ms', flooded.p99)
  for (const [what, value] of Object.entries(flood)) {
    findings.push({ what: `flood: ${what}`, value: value as number, bound: '> 0', holds: (value as number) > 0 })
  }
  return findings
}

type Manifests = NonNullable<ClrkRun['manifests']>
type Result = Readonly<Record<string, unknown>>
/** Milliseconds. */
type Latency = { readonly p50: number; readonly p99: number }

/** Runs one load in a sandbox of its own, and watches the shard that serves it from `warm` on. */
async function underLoad(world: World, manifests: Manifests, what: string, amount: number) {
  const hosting = new Map((await clrkStatus(world)).shards.map(({ index, sandboxes }) => [index, sandboxes]))
  const agent = start(world, manifests, what, amount)
  await agent.saw(/warm/)
  const shard = (await clrkStatus(world)).shards.find(({ index, sandboxes }) => sandboxes > (hosting.get(index) ?? 0))
  const proc = join(`/proc/${world.machine.init}/root/proc`, String(shard?.pid ?? assert.fail('it has no shard')))
  const before = { memory: memoryOf(proc), descriptors: descriptorsOf(proc) }
  const began = performance.now()
  let most = before.memory
  let over = false
  const seen = agent.saw(/^\{.*\}$/m).finally(() => {
    over = true
  })
  while (!over) {
    most = Math.max(most, memoryOf(proc))
    await sleep(50)
  }
  await seen
  const seconds = (performance.now() - began) / 1000
  await sleep(200) // what the last connection held is let go
  const descriptors = descriptorsOf(proc) - before.descriptors
  return { growth: most - before.memory, descriptors, seconds, result: await ended(agent) }
}

function start(world: World, manifests: Manifests, what: string, amount: number) {
  const client = readFileSync(join(import.meta.dirname, 'client.ts'), 'utf8')
  const path = [dirname(process.execPath), '/usr/local/bin:/usr/bin:/bin'].join(':')
  const argv = ['node', '--input-type=module-typescript', '-e', client, what, String(amount), HOST]
  const env = { PATH: path, HOME: join(world.directory, 'home'), LANG: 'C.UTF-8' }
  return spawnClrkRun(world, argv, { manifests, env, input: 'open' })
}

/** Tells it to end; its findings. */
async function ended(agent: ReturnType<typeof start>): Promise<Result> {
  agent.stdin.end()
  const { code, stdout, stderr } = await agent.exited
  assert.equal(code, 0, stderr)
  return JSON.parse(/^\{.*\}$/m.exec(stdout)?.[0] ?? '') as Result
}

/** An origin in a process of its own: what is measured is clrk, not the stand-ins of the world. Its CA. */
async function startOrigin(world: World): Promise<string> {
  const origin = world.spawnInternet([process.execPath, join(import.meta.dirname, 'origin.ts'), String(PORT), HOST], {
    cwd: REPOSITORY,
  })
  await origin.saw(/\n/)
  for (const family of ['ip', 'ip6'] as const) {
    const address = addressOf(HOST, family === 'ip' ? 4 : 6)
    const rule = `insert rule inet world stand_ins ${family} daddr ${address} tcp dport 443 redirect to :${PORT}`
    const { code, stderr } = await world.spawnInternet(['nft', rule]).exited
    assert.equal(code, 0, stderr)
  }
  return (JSON.parse(origin.written().stdout) as { authority: string }).authority
}

function memoryOf(proc: string): number {
  return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`${proc}/status`, 'latin1'))?.[1])
}

function descriptorsOf(proc: string): number {
  return readdirSync(`${proc}/fd`).length
}

const HOST = 'files.example.com' satisfies keyof typeof NAMES
const PORT = 7443
const MAXIMUM_GROWTH_MB = 64
/** A pooled connection or two that were not there before. */
const MAXIMUM_DESCRIPTORS = 16

if (import.meta.main) {
  const after: (() => unknown)[] = []
  try {
    const findings = await soak(
      { after: act => void after.push(act as () => unknown) },
      { bytes: 2e9, connections: 10_000, floodSeconds: 20 },
    )
    for (const { what, value, bound, holds } of findings) {
      const line = [what.padEnd(48), value.toFixed(2).padStart(12), bound.padStart(10), holds ? '' : ' BROKEN']
      process.stdout.write(`${line.join(' ')}\n`)
    }
    process.exitCode = findings.every(({ holds }) => holds) ? 0 : 1
  } finally {
    for (const act of after) await act()
  }
}
