/**
 * From nothing to the first connection that a sandbox's socket accepts, for each runtime, with what it is made of:
 * `sh src/clrk --node bench/boot.ts [ROUNDS]`. The runtimes and the plumbing are those that ship; shard and client are not
 * in it. Rounds of the runtimes alternate; the first of each, which fills caches, is shown apart.
 */
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unmount } from '../src/kernel/mounts.ts'
import { duplicateDescriptor, mountTmpfs } from '../src/kernel/syscalls.ts'
import { type PlumbedNamespace, plumbNamespace } from '../src/plumbing/netns.ts'
import { connectEngine } from '../src/runtimes/docker-connect.ts'
import { createLocalRuntime } from '../src/runtimes/local.ts'
import { busybox, type Engine, importImage, onOwnMachine, startEngine } from '../test/world/engine.ts'
import { describeMachine } from './machine.ts'

type Steps = Readonly<Record<string, number>>
type Boot = () => Promise<Steps>

const REFERENCE = 'localhost/bench:1'
const SMALL = { memoryBytes: 64 * 2 ** 20, cpus: 1, pids: 50 }
/** An address that is nowhere (RFC 5737): only the redirect can accept it. */
const CONNECT = ['/bin/busybox', 'nc', '192.0.2.1', '443'] as const

onOwnMachine()
const rounds = Number(process.argv[2] ?? 10)
const scratch = mkdtempSync(join(tmpdir(), 'clrk-bench-'))
mountTmpfs(scratch, 64 * 2 ** 20)
mkdirSync(join(scratch, 'staging'))
const engine = await startEngine()
try {
  const boots: Readonly<Record<string, Boot>> = { local: localBoot(), docker: await dockerBoot(engine) }
  const measured = new Map<string, Steps[]>(Object.keys(boots).map(name => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, boot] of Object.entries(boots)) measured.get(name)?.push(await boot())
  }
  const { date, processor, processors, kernel, loadAverage } = describeMachine()
  console.log(
    `${date} · ${processor}, ${processors} processors · Linux ${kernel} · load average ${loadAverage.join(' ')}\n`,
  )
  console.log('| runtime | step | first (ms) | median (ms) | least – greatest |\n| --- | --- | --- | --- | --- |')
  for (const [name, all] of measured) for (const line of table(name, all)) console.log(line)
} finally {
  await engine.stop()
  unmount(scratch)
  rmdirSync(scratch)
}

function localBoot(): Boot {
  const runtime = createLocalRuntime({ stateId: 'bench000', state: scratch, staging: join(scratch, 'staging') })
  let count = 0
  return async () => {
    const clock = stopwatch()
    const namespace = await plumbNamespace()
    clock.lap('namespace and rules')
    const accepted = firstConnection(namespace)
    const sandbox = await runtime.start(
      {
        ...{ id: `local-${count++}`, argv: CONNECT, environment: {}, workingDirectory: '/', home: '/home/agent' },
        ...{ user: { uid: 1000, gid: 1000 }, workspace: null, readOnly: [], stdio: { kind: 'pipes' } },
        ...{ trust: { binds: [], environment: {} }, limits: SMALL },
      },
      namespace,
    )
    clock.lap('agent started')
    await accepted
    clock.lap('first connection')
    await sandbox.stop()
    namespace.close()
    return clock.laps
  }
}

async function dockerBoot({ socket, scratch: directory }: Engine): Promise<Boot> {
  await importImage(engine, REFERENCE, busybox())
  const options = { host: `unix://${socket}`, stateId: 'bench000', state: scratch, directory, dockerConfig: null }
  const runtime = await connectEngine(options)
  let count = 0
  return async () => {
    const id = `docker-${count++}`
    const clock = stopwatch()
    const image = await runtime.image(REFERENCE, () => {})
    await runtime.roots(image)
    clock.lap('image and its roots')
    const pod = await runtime.prepare(id, { labels: {} })
    clock.lap('pause container')
    const namespace = await plumbNamespace(duplicateDescriptor(pod.netns))
    clock.lap('rules')
    const accepted = firstConnection(namespace)
    const sandbox = await runtime.start(
      {
        ...{ id, image, command: CONNECT, args: [], environment: {}, workingDirectory: null, user: null },
        ...{ workspace: null, readOnlyRoot: false, trust: { binds: [], environment: {} } },
        ...{ limits: SMALL, stdio: { kind: 'pipes' } },
      },
      pod,
    )
    clock.lap('agent started')
    await accepted
    clock.lap('first connection')
    await sandbox.stop()
    namespace.close()
    await pod.release()
    return clock.laps
  }
}

/** Resolves when the sandbox's socket accepts: what the proxy's shard would see. */
function firstConnection({ sockets: [tcp] }: PlumbedNamespace): Promise<void> {
  return new Promise(resolve => {
    const server = createServer(connection => {
      connection.destroy()
      server.close()
      resolve()
    })
    server.listen({ fd: duplicateDescriptor(tcp) })
  })
}

function stopwatch() {
  const laps: Record<string, number> = {}
  const began = performance.now()
  let last = began
  return {
    laps,
    lap: (name: string) => {
      const now = performance.now()
      laps[name] = now - last
      laps.all = now - began
      last = now
    },
  }
}

function table(runtime: string, all: readonly Steps[]): readonly string[] {
  const [first = {}, ...rest] = all
  const names = Object.keys(first).toSorted((a, b) => Number(a === 'all') - Number(b === 'all'))
  return names.map(name => {
    const sorted = rest.map(steps => steps[name] ?? 0).toSorted((a, b) => a - b)
    const at = (index: number) => (sorted[index] ?? 0).toFixed(1)
    const median = at(Math.floor(sorted.length / 2))
    return `| ${runtime} | ${name} | ${(first[name] ?? 0).toFixed(1)} | ${median} | ${at(0)} – ${at(sorted.length - 1)} |`
  })
}
