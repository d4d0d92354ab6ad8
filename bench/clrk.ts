/** clrk itself: a worker and its shard on the contenders' processor, the load inside real sandboxes. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunRecord, WorkerStatus } from '../src/worker/control.ts'
import { clrkManifests } from './configurations.ts'
import type { Contender } from './contender.ts'
import { LINKS, PLACEHOLDER } from './names.ts'
import { LIMITS } from './plain-shell.ts'
import { PROCESSORS, type Rig } from './rig.ts'
import { LOOP, openShell, type Shell } from './shell.ts'

const CLRK = join(import.meta.dirname, '../src/clrk')

export async function startClrk(rig: Rig, version: string, launcher = CLRK): Promise<Contender> {
  const state = join(rig.directory, 'state')
  const manifests = join(rig.directory, 'manifests.yaml')
  writeFileSync(manifests, clrkManifests(rig.authorization, LINKS.internet), { mode: 0o600 })
  const records: RunRecord[] = []

  /** Joins the worker that runs, or starts it. */
  const open = async (): Promise<Shell> => {
    const options = ['--state', state, '-f', manifests, '--workspace', join(rig.directory, 'load'), '--json']
    const limits = ['--cpus', `${LIMITS.cpus}`, '--memory', `${LIMITS.memoryBytes}`, '--pids', `${LIMITS.pids}`]
    const argv = ['sh', launcher, 'run', ...options, ...limits, '--', '/bin/sh', '-c', LOOP]
    const shell = await openShell(rig.spawn('host', PROCESSORS.contender, argv, { piped: true }), 'a clrk sandbox')
    return {
      run: shell.run,
      close: async () => {
        const rest = await shell.close()
        records.push(JSON.parse(rest.at(-1) ?? '') as RunRecord)
        return rest
      },
    }
  }
  const shell = await open()
  const { pid, shards } = await statusOf(rig, state)
  const [shard, ...others] = shards
  if (shard?.pid == null || others.length > 0) throw new Error(`bench: clrk has ${shards.length} shards instead of 1`)
  const proc = `/proc/${rig.machines.host.init}/root/proc`
  return {
    name: 'clrk',
    version,
    authorization: PLACEHOLDER,
    http2: true,
    records: true,
    processes: { proc, roots: [pid] },
    resident: { proc, roots: [shard.pid] },
    lead: () => {},
    shell,
    openFreshShell: open,
    close: async requests => {
      await shell.close()
      const sum = (what: 'requests' | 'injected' | 'denied') => records.reduce((all, record) => all + record[what], 0)
      if (sum('requests') !== requests || sum('injected') !== requests || sum('denied') !== 0) {
        const seen = `${sum('requests')} requests, ${sum('injected')} injected, ${sum('denied')} denied`
        throw new Error(`bench: clrk counted ${seen}; the origins saw ${requests}`)
      }
      await gone(rig, pid)
    },
  }
}

async function statusOf(rig: Rig, state: string): Promise<WorkerStatus> {
  const argv = ['sh', CLRK, 'status', '--json', '--state', state]
  const { code, stdout, stderr } = await rig.machines.host.run(argv)
  if (code !== 0) throw new Error(`bench: clrk status: ${stderr}`)
  return JSON.parse(stdout)
}

/** It ends by itself after its last client; until then it tidies up. */
async function gone(rig: Rig, pid: number): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (!rig.machines.host.processes().some(process => process.pid === pid)) return
    await sleep(50)
  }
  throw new Error('bench: the worker of clrk has not ended')
}
