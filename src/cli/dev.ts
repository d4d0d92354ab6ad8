/** `clrk dev`: a worker with these manifests, its agents, and everything they do as lines, until Ctrl-C. */
import { realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { connect } from '../api/client.ts'
import { clrkError } from '../errors.ts'
import type { WorkerEvent } from '../worker/control.ts'
import { inheritedVariables } from '../worker/surroundings.ts'
import { parseArguments, usageError } from './arguments.ts'
import type { Command } from './command.ts'
import { type AgentHost, keepRunning, runTask, shortName } from './dev-agents.ts'
import { loadExample, loadFiles } from './load-files.ts'
import { planMockProvider, startMockProvider } from './mock-provider.ts'
import { otelLines } from './otel-lines.ts'
import { holdsPanes, openPanes } from './panes.ts'
import { type Screen, screen } from './render.ts'
import { runtimeName, secretsFromEnvironment, stateDirectory } from './values.ts'
import { requireRoot, startWorker } from './worker-process.ts'

export const dev: Command = {
  help: `clrk dev [DIRECTORY] [OPTIONS]

Starts a worker, applies the manifests, runs every agent in them and shows what they do. Ctrl-C ends all of it.
DIRECTORY is an example: its manifests are in DIRECTORY/manifests or DIRECTORY/*.yaml, and its agents see it read-only.

  -f FILE|DIRECTORY             manifests (repeatable; directories with all below them)
  --secret NAME=ENVVAR[:KEY]    a Secret from a variable of this shell (repeatable; in memory only)
  --mock-provider               answer for the AI providers of the routes on this machine: works offline
  --once                        end when every TaskAgent has ended, with the first exit status that is not 0
  --runtime RUNTIME             auto, local or docker (default auto: docker where an agent has an image)
  --keep                        stay up all the same
  --no-panes                    prefixed lines on a terminal, too
  --state DIRECTORY             the worker's state (default: CLRK_STATE, else ~/.clrk)
`,
  run: async argv => {
    const options = parseDev(argv, process.env)
    requireRoot()
    const stop = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort(signal))
    process.stdout.on('error', () => stop.abort('SIGPIPE'))
    const colour = process.stdout.isTTY === true && !process.env.NO_COLOR
    const plain = screen(text => process.stdout.write(text), colour)
    if (!options.panes || !process.stdin.isTTY || !holdsPanes(process.stdout, process.env.TERM))
      return session(options, plain, stop.signal)
    const panes = openPanes(process.stdin, process.stdout, plain, () => stop.abort('SIGINT'))
    return session(options, panes, stop.signal).finally(panes.close)
  },
}

type DevOptions = ReturnType<typeof parseDev>

/** What a command line asks for, manifests and secrets read. Throws CLRK_ARGUMENT_INVALID, before anything starts. */
export function parseDev(argv: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
  const { options, positionals, command } = parseArguments(
    argv,
    {
      file: 'values',
      secret: 'values',
      state: 'value',
      runtime: 'value',
      'mock-provider': 'flag',
      once: 'flag',
      keep: 'flag',
      'no-panes': 'flag',
    },
    { short: { f: 'file' }, maximum: 1 },
  )
  if (command !== null) throw usageError('--', 'clrk dev takes no command', 'Use clrk run -- COMMAND.')
  const [example] = positionals
  const files = [...(example === undefined ? [] : loadExample(example)), ...loadFiles(options.file)]
  if (files.length === 0) throw usageError('clrk dev', 'no manifests are given', 'Name an example or add -f FILE.')
  return {
    files,
    secrets: secretsFromEnvironment(options.secret, environment),
    state: stateDirectory(options.state, environment),
    programDirectory: example === undefined ? null : realpathSync(example),
    mockProvider: options['mock-provider'],
    untilTasksEnd: options.once && !options.keep,
    runtime: runtimeName(options.runtime),
    panes: !options['no-panes'],
    callerEnvironment: inheritedVariables(environment),
  }
}

/** From the worker's start to its end; resolves to the exit status. */
async function session(options: DevOptions, { line: show }: Screen, stopping: AbortSignal): Promise<number> {
  const { state, files, secrets, programDirectory } = options
  const mock = options.mockProvider ? await startMockProvider(planMockProvider(files, secrets)) : null
  if (mock !== null) show('mock', `${mock.hostnames.join(', ')} answered at ${mock.address}:443`)
  for (const provider of mock?.unknown ?? []) show('mock', `no stand-in for provider ${provider}: its host is real`)
  try {
    // Ephemeral: a worker whose `clrk dev` was killed has nobody to serve.
    const worker = await startWorker({ state, ephemeral: true })
    let events: Promise<void> = Promise.resolve()
    try {
      const client = await connect(state)
      events = (await client.watch(event => showEvent(event, show))).ended
      show('worker', `runs as process ${worker.pid}, state in ${state}`)
      const mockProvider = mock && { address: mock.address, authority: mock.authority, hostnames: mock.hostnames }
      const { agents, warnings } = await client.apply({ files, secrets, programDirectory, mockProvider })
      for (const warning of warnings) show('worker', `warning: ${warning}`)
      for (const agent of agents) {
        show(
          'worker',
          `${agent.kind} ${shortName(agent)}: ${agent.gateway === null ? 'no network' : `gateway ${agent.gateway}`}`,
        )
      }
      show('worker', 'ready')
      const { callerEnvironment, runtime } = options
      const callerDirectory = programDirectory ?? process.cwd()
      const host: AgentHost = { run: client.run, show, runtime, callerEnvironment, callerDirectory, stopping }
      const tasks = agents.filter(({ kind }) => kind === 'TaskAgent').map(agent => runTask(agent, host))
      for (const agent of agents.filter(({ kind }) => kind === 'DaemonAgent')) void keepRunning(agent, host)
      const status = options.untilTasksEnd
        ? Promise.all(tasks).then(codes => codes.find(code => code !== 0) ?? 0)
        : NEVER
      const reason = `it ended by itself, see ${state}/worker.log`
      const gone = client.gone.then(() => Promise.reject(clrkError('CLRK_WORKER_GONE', { state, reason })))
      return await Promise.race([status, gone, stopped(stopping, options.untilTasksEnd)])
    } finally {
      await worker.stop()
      await events
    }
  } finally {
    await mock?.close()
  }
}

/** Ctrl-C is how `clrk dev` ends, so its status is 0, but not where somebody waits for a result. */
function stopped(stopping: AbortSignal, waitedFor: boolean): Promise<number> {
  return new Promise(resolve => {
    const end = () => resolve(waitedFor ? 128 + constants.signals[stopping.reason as NodeJS.Signals] : 0)
    if (stopping.aborted) end()
    stopping.addEventListener('abort', end)
  })
}

function showEvent(event: WorkerEvent, show: Screen['line']): void {
  if (event.type === 'log') show('worker', event.level === 'info' ? event.message : `${event.level}: ${event.message}`)
  else if (event.type === 'telemetry') {
    for (const line of otelLines(event.signal, event.payload)) show(`otel-${event.signal}`, line)
  } else {
    const { action, agent, protocol, name, address, port, why } = event.line
    const target = name ?? address ?? ''
    show('worker', `${action} ${agent} ${protocol} ${target}${port === null ? '' : `:${port}`}: ${why}`)
  }
}

const NEVER = new Promise<never>(() => {})
