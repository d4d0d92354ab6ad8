/** A WorkerControl without sandboxes: its runs are child processes of the test, so the socket carries real streams. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Client, connect } from '../../src/api/client.ts'
import { type ControlServer, serveControl } from '../../src/api/server.ts'
import { controlSocket } from '../../src/api/socket-path.ts'
import { clrkError } from '../../src/errors.ts'
import type { SandboxExit } from '../../src/runtimes/runtime.ts'
import type { ApplyRequest, RunRequest, SecretInput, WorkerControl, WorkerEvent } from '../../src/worker/control.ts'

export type TestControl = WorkerControl & {
  readonly pids: number[]
  readonly calls: (ApplyRequest | SecretInput | RunRequest)[]
  readonly say: (event: WorkerEvent) => void
}

export function testControl(): TestControl {
  const listeners = new Set<(event: WorkerEvent) => void>()
  const calls: TestControl['calls'] = []
  const pids: number[] = []
  return {
    calls,
    pids,
    say: event => {
      for (const listener of listeners) listener(event)
    },
    status: () => ({ version: '0.1.0', pid: process.pid, state: '/state', shards: [], sandboxes: [] }),
    apply: async request => {
      calls.push(request)
      return { agents: [], gateways: ['default/echo-bot'], warnings: [] }
    },
    setSecret: async secret => {
      calls.push(secret)
      if (secret.name === 'broken') throw clrkError('CLRK_SECRET_MISSING', { secret: secret.name, key: 'k' })
      return { keys: Object.keys(secret.data) }
    },
    run: async (request, abort) => {
      calls.push(request)
      if (request.what.kind !== 'command') throw clrkError('CLRK_INTERNAL', { reason: 'no agents here' })
      const [file = '', ...args] = request.what.argv
      if (file === 'refused') {
        throw clrkError('CLRK_SANDBOX_FAILED', { step: 'bwrap', reason: 'no', fix: 'Install it.' })
      }
      const child = spawn(file, args, { stdio: 'pipe', detached: true })
      const pid = child.pid ?? 0
      pids.push(pid)
      const kill = (signal: NodeJS.Signals) => {
        if (child.exitCode === null && child.signalCode === null) process.kill(-pid, signal)
      }
      const exited = new Promise<SandboxExit>(resolve => {
        child.on('exit', (code, signal) =>
          resolve(signal === null ? { code: code ?? 0, signal } : { code: null, signal }),
        )
      })
      abort.addEventListener('abort', () => kill('SIGKILL'))
      const sandbox = {
        id: `run-${pid}`,
        stdin: child.stdin,
        stdout: child.stdout,
        stderr: child.stderr,
        exited,
        signal: kill,
        resize: () => {},
        stop: async () => {
          kill('SIGTERM')
          await exited
        },
      }
      const record = exited.then(exit => ({
        id: sandbox.id,
        agentKind: 'Run' as const,
        agent: 'run/run',
        gateway: 'run/run',
        policyDigest: '',
        runtime: 'local' as const,
        command: [file, ...args],
        startedAt: '2026-01-01T00:00:00.000Z',
        endedAt: '2026-01-01T00:00:00.000Z',
        bootMs: 1,
        exit,
        connections: 0,
        requests: 0,
        injected: 0,
        denied: 0,
      }))
      return { sandbox, record }
    },
    watch: listener => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    shutdown: async () => {},
  }
}

/** A control server with one client, in a state directory of its own (or in `state`). */
export async function serveForTest(t: TestContext, state = mkdtempSync(join(tmpdir(), 'clrk-api-'))) {
  const control = testControl()
  const server: ControlServer = await serveControl(control, controlSocket(state))
  const client: Client = await connect(state)
  t.after(async () => {
    client.close()
    await server.close()
    rmSync(state, { recursive: true, force: true })
  })
  return { control, server, client, state }
}

export function runRequest(argv: readonly [string, ...string[]]): RunRequest {
  return {
    what: { kind: 'command', argv: [...argv], files: [], secrets: [], gateway: null, allow: [] },
    callerEnvironment: {},
    runtime: 'auto',
    image: null,
    callerDirectory: '/',
    workspace: null,
    readOnly: false,
    user: null,
    memoryBytes: null,
    cpus: null,
    pids: null,
    stdio: { kind: 'pipes' },
  }
}
