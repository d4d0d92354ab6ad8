/** The agents that `clrk dev` runs: a TaskAgent once, a DaemonAgent again and again; their output as lines. */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from '../api/client.ts'
import { messageOf } from '../errors.ts'
import type { AgentSummary, RunRequest } from '../worker/control.ts'
import { lineReader, type Screen } from './render.ts'

export type AgentHost = {
  readonly run: Client['run']
  readonly show: Screen['line']
  readonly runtime: RunRequest['runtime']
  readonly callerEnvironment: Readonly<Record<string, string>>
  readonly callerDirectory: string
  /** Everything is being stopped: nothing is started or complained about any more. */
  readonly stopping: AbortSignal
}

/** Runs a TaskAgent once, with a CloudEvent on its stdin. Resolves to its exit status (128 + signal); never rejects. */
export function runTask(agent: AgentSummary, host: AgentHost): Promise<number> {
  return runOnce(agent, host, `${JSON.stringify(taskEvent(agent.name))}\n`)
}

/** Runs a DaemonAgent and starts it again as its restart policy says, 1 s to 60 s after its end; never rejects. */
export async function keepRunning(agent: AgentSummary, host: AgentHost): Promise<void> {
  const { policy, maximum } = agent.restart ?? { policy: 'Always', maximum: 0 }
  let wait = RESTART_MS
  for (let restarts = 0; ; restarts += 1) {
    const started = Date.now()
    const code = await runOnce(agent, host, '')
    const wanted = policy === 'Always' || (policy === 'OnFailure' && code !== 0)
    if (host.stopping.aborted || !wanted) return
    if (maximum > 0 && restarts >= maximum)
      return host.show('worker', `${shortName(agent)} is not started again: ${maximum} restarts`)
    wait = Date.now() - started >= HEALTHY_MS ? RESTART_MS : Math.min(wait * 2, RESTART_MAXIMUM_MS)
    await delay(wait, undefined, { signal: host.stopping }).catch(() => {})
    if (host.stopping.aborted) return
  }
}

/** An agent's name on the screen: without the namespace `default`. */
export function shortName({ name }: { readonly name: string }): string {
  return name.replace(/^default\//, '')
}

/** The CloudEvent (structured JSON, version 1.0) that starts a TaskAgent from the command line. */
export function taskEvent(name: string) {
  return {
    specversion: '1.0',
    id: randomUUID(),
    source: `clrk://${name}`,
    type: 'dev.apoxy.clrk.taskagent.invoke',
    subject: 'CLI',
    time: new Date().toISOString(),
  }
}

async function runOnce(agent: AgentSummary, host: AgentHost, input: string): Promise<number> {
  const name = shortName(agent)
  const request: RunRequest = {
    what: { kind: 'agent', agentKind: agent.kind, name: agent.name },
    callerEnvironment: host.callerEnvironment,
    callerDirectory: host.callerDirectory,
    runtime: host.runtime,
    image: null,
    workspace: null,
    readOnly: false,
    user: null,
    memoryBytes: null,
    cpus: null,
    pids: null,
    stdio: { kind: 'pipes' },
  }
  try {
    const { sandbox, record } = await host.run(request, new AbortController().signal, line =>
      host.show('worker', `${name}: ${line}`),
    )
    record.catch(() => {}) // `exited` says the same
    host.show('worker', `${name} runs in sandbox ${sandbox.id}`)
    sandbox.stdin.on('error', () => {}) // an agent need not read its event
    sandbox.stdin.end(input)
    const ends = [sandbox.stdout, sandbox.stderr].map(async stream => {
      const lines = lineReader(line => host.show(name, line))
      for await (const chunk of stream ?? []) lines.push(chunk)
      lines.end()
    })
    const exit = await sandbox.exited
    await Promise.all(ends)
    host.show('worker', `${name} ended ${exit.signal === null ? `with status ${exit.code}` : `by ${exit.signal}`}`)
    return exit.signal === null ? exit.code : 128 + constants.signals[exit.signal]
  } catch (error) {
    if (!host.stopping.aborted) host.show('worker', `${name} failed: ${messageOf(error)}`)
    return 1
  }
}

const RESTART_MS = 1_000
const RESTART_MAXIMUM_MS = 60_000
/** An agent that ran this long starts over with the shortest wait. */
const HEALTHY_MS = 10_000
