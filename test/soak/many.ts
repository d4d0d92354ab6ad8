/**
 * Many sandboxes on one worker, all alive at the same time, each having completed a request with the credential.
 *
 *   npm run soak -- many [1000]    prints what a further one costs; exits 1 past a bound
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, connect } from '../../src/api/client.ts'
import type { RunRequest, StartedRun } from '../../src/worker/control.ts'
import { clrkStatus, startWorker, stateOf, stopWorker } from '../world/clrk.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import { mainJob } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld, type World } from '../world/world.ts'

export type Many = {
  readonly sandboxes: number
  /** How many sandboxes each shard had. */
  readonly shares: readonly number[]
  /** Resident bytes that the shards and the worker grew by for each sandbox after the first few. */
  readonly shardBytes: number
  readonly workerBytes: number
  readonly workerDescriptors: number
  readonly bootsPerSecond: number
}

/** Rejects where one sandbox does not get its answer, or anything is left at the end. */
export async function manySandboxes(t: Pick<TestContext, 'after'>, sandboxes: number): Promise<Many> {
  const world = await createWorld(t as TestContext)
  const before = snapshot(world)
  const worker = await startWorker(world, mainJob(world.key))
  const client = await connect(stateOf(world))
  const runs: StartedRun[] = []
  const boot = async (count: number) => {
    let left = count
    const next = async () => {
      while (left-- > 0) runs.push(await startOne(client))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, next))
  }
  try {
    const first = Math.min(WARM, Math.floor(sandboxes / 2))
    await boot(first)
    const start = await costs(world)
    const began = performance.now()
    await boot(sandboxes - first)
    const bootsPerSecond = (1000 * (sandboxes - first)) / (performance.now() - began)
    const end = await costs(world)
    const each = (what: 'shards' | 'worker' | 'descriptors') => (end[what] - start[what]) / (sandboxes - first)

    const requests = await world.requests()
    assert.equal(requests.length, sandboxes)
    for (const request of requests) assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
    assert.equal(
      end.shares.reduce((sum, share) => sum + share),
      sandboxes,
    )
    await Promise.all(runs.map(finish))
    client.close()
    await stopWorker(worker)
    await assertNothingLeft(world, before)
    return {
      sandboxes,
      shares: end.shares,
      shardBytes: each('shards'),
      workerBytes: each('worker'),
      workerDescriptors: each('descriptors'),
      bootsPerSecond,
    }
  } finally {
    client.close()
  }
}

/** Resolves once its request was answered; it stays until its input ends. */
async function startOne(client: Client): Promise<StartedRun> {
  const run = await client.run(REQUEST, new AbortController().signal)
  const errors = run.sandbox.stderr === null ? Promise.resolve('') : text(run.sandbox.stderr)
  const answered = new Promise<string>((resolve, reject) => {
    let said = ''
    run.sandbox.stdout.on('data', chunk => {
      said += chunk
      if (said.includes('\n')) resolve(said)
    })
    run.sandbox.stdout.on('end', () => errors.then(error => reject(new Error(`it ended: ${said}${error}`))))
  })
  assert.equal(await answered, '200\n')
  return run
}

async function finish({ sandbox, record }: StartedRun): Promise<void> {
  sandbox.stdin.end()
  const { exit, requests, injected, denied } = await record
  const expected = { exit: { code: 0, signal: null }, requests: 1, injected: 1, denied: 0 }
  assert.deepEqual({ exit, requests, injected, denied }, expected)
}

/** Of the worker and its shards now; a shard's garbage counts until it is collected. */
async function costs(world: World) {
  await sleep(SETTLE_MS)
  const { pid, shards } = await clrkStatus(world)
  const proc = (of: number | null) => join(`/proc/${world.machine.init}/root/proc`, String(of))
  const resident = (of: number | null) =>
    1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(join(proc(of), 'status'), 'latin1'))?.[1])
  return {
    shares: shards.map(shard => shard.sandboxes),
    shards: shards.reduce((sum, shard) => sum + resident(shard.pid), 0),
    worker: resident(pid),
    descriptors: readdirSync(join(proc(pid), 'fd')).length,
  }
}

/** Booted at the same time. */
const AT_ONCE = 8
/** Before the first reading: every shard has loaded what it loads. */
const WARM = 16
/** For what was made for a boot alone to be let go. */
const SETTLE_MS = 2_000

const REQUEST: RunRequest = {
  what: {
    kind: 'command',
    argv: [
      'sh',
      '-c',
      "curl -sS -o /dev/null -w '%{http_code}\\n' https://api.anthropic.com/v1/messages; read -r end; exit 0",
    ],
    files: [],
    secrets: [],
    gateway: 'test',
    allow: [],
  },
  callerEnvironment: { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8' },
  callerDirectory: '/',
  runtime: 'auto',
  image: null,
  workspace: null,
  readOnly: false,
  user: null,
  memoryBytes: null,
  cpus: null,
  pids: null,
  stdio: { kind: 'pipes' },
}

if (import.meta.main) {
  const after: (() => unknown)[] = []
  try {
    const found = await manySandboxes(
      { after: act => void after.push(act as () => unknown) },
      Number(process.argv[2] ?? 1_000),
    )
    console.log(found)
  } finally {
    for (const act of after) await act()
  }
}
