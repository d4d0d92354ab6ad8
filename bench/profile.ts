/**
 * Where a shard spends its time: `sh src/clrk --node bench/profile.ts [GROUP] [FILE]`. Runs one group of metrics through
 * clrk while V8 samples the shard; prints what took the most time by itself, and writes FILE (.cpuprofile) if it is named.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startClrk } from './clrk.ts'
import { requestsSeen } from './measure.ts'
import { GROUP_NAMES, GROUPS } from './metrics.ts'
import { openRig, type Rig } from './rig.ts'
import { buildOwnTools, TOOLS } from './tools.ts'

type Profile = {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** In the host machine's network namespace, where the shard's inspector listens on loopback. argv: where the profile goes. */
const CLIENT = `
import { writeFileSync } from 'node:fs'
const [target] = await (await fetch('http://127.0.0.1:9229/json')).json()
const socket = new WebSocket(target.webSocketDebuggerUrl)
await new Promise(done => (socket.onopen = done))
let calls = 0
const call = (method, params = {}) => new Promise(done => {
  const id = ++calls
  socket.addEventListener('message', ({ data }) => { const said = JSON.parse(data); if (said.id === id) done(said.result) })
  socket.send(JSON.stringify({ id, method, params }))
})
await call('Profiler.enable')
await call('Profiler.setSamplingInterval', { interval: 200 })
await call('Profiler.start')
console.log('sampling')
await new Promise(done => process.stdin.once('data', done))
const { profile } = await call('Profiler.stop')
writeFileSync(process.argv[1], JSON.stringify(profile))
process.exit()
`

if (import.meta.main) await main(process.argv[2] ?? 'h1_c16', process.argv[3])

async function main(wanted: string, file: string | undefined): Promise<void> {
  const group = GROUP_NAMES.find(name => name === wanted)
  if (group === undefined) throw new Error(`profile: ${wanted}: it is one of ${GROUP_NAMES.join(', ')}`)
  buildOwnTools()
  const rig = await openRig()
  try {
    mkdirSync(join(rig.directory, 'load'))
    copyFileSync(TOOLS.load, join(rig.directory, 'load/load'))
    const clrk = await startClrk(rig, '', withInspector(rig))
    try {
      await GROUPS[group].run({ rig, seconds: 12 }, clrk) // V8 needs some 50,000 requests until its code is what it stays
      const stop = await sample(rig, clrk.resident?.roots[0] ?? 0)
      const values = await GROUPS[group].run({ rig, seconds: 4 }, clrk)
      const profile = await stop()
      if (file !== undefined) writeFileSync(file, JSON.stringify(profile))
      console.log(values)
      process.stdout.write(summary(profile))
    } finally {
      await clrk.close(requestsSeen(clrk))
    }
  } finally {
    await rig.close()
  }
}

/** The launcher of a copy of this code whose shards open an inspector at SIGUSR1, which no real one does. */
function withInspector({ directory }: Rig): string {
  const from = join(import.meta.dirname, '..')
  const to = join(directory, 'clrk')
  for (const part of ['src', 'netns', 'images', 'package.json'])
    cpSync(join(from, part), join(to, part), { recursive: true })
  symlinkSync(join(from, 'node_modules'), join(to, 'node_modules'))
  const spec = join(to, 'src/worker/shard-spec.ts')
  const text = readFileSync(spec, 'utf8')
  const open = text.replace("'--disable-sigusr1', ", '')
  if (open === text) throw new Error(`profile: ${spec} has another spelling of the flags`)
  writeFileSync(spec, open)
  return join(to, 'src/clrk')
}

async function sample(rig: Rig, shard: number): Promise<() => Promise<Profile>> {
  rig.run('host', ['kill', '-USR1', `${shard}`])
  await sleep(500)
  const file = join(rig.directory, 'cpuprofile')
  const enter = ['--target', `${rig.machines.host.init}`, '--net', '--', process.execPath]
  const client = spawn('nsenter', [...enter, '--input-type=module', '-e', CLIENT, file], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(client, 'exit')
  await Promise.race([
    once(client.stdout, 'data'),
    exited.then(() => Promise.reject(new Error('profile: no sampling'))),
  ])
  return async () => {
    client.stdin.end('stop\n')
    await exited
    return JSON.parse(readFileSync(file, 'utf8'))
  }
}

/** Self time by function: V8 counts what a native function does as the time of its JavaScript name. */
function summary({ nodes, samples, timeDeltas }: Profile): string {
  const byId = new Map(nodes.map(node => [node.id, node.callFrame]))
  const spent = new Map<string, number>()
  let busy = 0
  for (const [at, id] of samples.entries()) {
    const { functionName = '', url = '', lineNumber = 0 } = byId.get(id) ?? {}
    if (functionName === '(idle)') continue
    const microseconds = timeDeltas[at] ?? 0
    busy += microseconds
    const place = url === '' ? '' : ` ${url.replace(/^.*\/(src|node_modules)\//, '$1/')}:${lineNumber + 1}`
    const name = `${functionName || '(anonymous)'}${place}`
    spent.set(name, (spent.get(name) ?? 0) + microseconds)
  }
  const most = [...spent].sort(([, a], [, b]) => b - a).slice(0, 45)
  return most.map(([name, us]) => `${((100 * us) / busy).toFixed(1).padStart(5)} %  ${name}\n`).join('')
}
