/**
 * What the worker does for whoever holds its control socket: the seam between `src/worker` (which implements it) and
 * `src/api` (which serves it). Everything here is plain data or streams; no secret ever comes back out.
 */

import type { RunningSandbox, SandboxExit } from '../runtimes/runtime.ts'
import type { AuditLine } from '../shard/protocol.ts'

export type ResourceFile = { readonly path: string; readonly text: string }

/** Key material from the caller's shell or files, as latin1 text; in memory only unless `persist`. */
export type SecretInput = {
  /** `name` (namespace `default`) or `namespace/name`. */
  readonly name: string
  readonly data: Readonly<Record<string, string>>
  /** Keep it root-only in the state directory; merges with the keys already there. */
  readonly persist: boolean
}

export type ApplyRequest = {
  readonly files: readonly ResourceFile[]
  readonly secrets: readonly SecretInput[]
  /** Directory that the operator named (an example); shown read-only to the agents that this call defines. */
  readonly programDirectory: string | null
  /** Start a stand-in for the provider of each AIProviderRoute on this host and lead its names there. */
  readonly mockProvider: {
    readonly address: string
    readonly authority: string
    readonly hostnames: readonly string[]
  } | null
}

export type AgentSummary = {
  readonly kind: 'TaskAgent' | 'DaemonAgent'
  /** `namespace/name` */
  readonly name: string
  /** `namespace/name` of its EgressGateway, or null: no network at all. */
  readonly gateway: string | null
  /** When whoever runs a DaemonAgent starts it again; `maximum` 0: any number of times. Missing: Always, 0. */
  readonly restart?: { readonly policy: 'Always' | 'OnFailure' | 'Never'; readonly maximum: number }
}

export type ApplyResult = {
  readonly agents: readonly AgentSummary[]
  /** `namespace/name` of every EgressGateway known. */
  readonly gateways: readonly string[]
  /** One sentence for each reference that does not resolve and each policy that lost a conflict. */
  readonly warnings: readonly string[]
}

/** The caller's surroundings, for a local sandbox that behaves as if started directly. */
export type RunRequest = {
  /** An agent (`namespace/name` with its kind) or a command of the caller's. */
  readonly what:
    | { readonly kind: 'agent'; readonly agentKind: 'TaskAgent' | 'DaemonAgent'; readonly name: string }
    | {
        readonly kind: 'command'
        /** May be empty with an image: its ENTRYPOINT and CMD, which a command replaces. */
        readonly argv: readonly string[]
        /** Manifests of this run alone. */
        readonly files: readonly ResourceFile[]
        readonly secrets: readonly SecretInput[]
        /** `name` or `namespace/name`; null: the only one in `files`, else deny-all plus `allow`. */
        readonly gateway: string | null
        readonly allow: readonly { readonly host: string; readonly port: number }[]
      }
  /** `inheritedVariables` of the caller's environment (surroundings.ts). */
  readonly callerEnvironment: Readonly<Record<string, string>>
  readonly callerDirectory: string
  /** What boots it: `auto` is an engine where there is an image, else this machine itself. */
  readonly runtime: 'auto' | 'local' | 'docker'
  /** The image of a command; an agent's is in its template. */
  readonly image: string | null
  readonly workspace: string | null
  /** An image's own files; those of this machine always are. */
  readonly readOnly: boolean
  readonly user: { readonly uid: number; readonly gid: number } | null
  readonly memoryBytes: number | null
  readonly cpus: number | null
  readonly pids: number | null
  readonly stdio:
    | { readonly kind: 'pipes' }
    | { readonly kind: 'terminal'; readonly rows: number; readonly columns: number }
}

/** What `clrk run --json` prints once the sandbox has ended. */
export type RunRecord = {
  readonly id: string
  readonly agentKind: 'TaskAgent' | 'DaemonAgent' | 'Run'
  readonly agent: string
  readonly gateway: string
  readonly policyDigest: string
  readonly runtime: 'local' | 'docker'
  readonly command: readonly string[]
  /** RFC 3339. */
  readonly startedAt: string
  readonly endedAt: string
  /** From the request to the agent's first instruction. */
  readonly bootMs: number
  readonly exit: SandboxExit
  readonly connections: number
  readonly requests: number
  readonly injected: number
  readonly denied: number
}

export type StartedRun = {
  readonly sandbox: RunningSandbox
  readonly record: Promise<RunRecord>
}

export type WorkerEvent =
  | { readonly type: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string }
  | { readonly type: 'audit'; readonly line: AuditLine }
  /** One OTLP/JSON export request body. */
  | { readonly type: 'telemetry'; readonly signal: 'traces' | 'logs'; readonly payload: string }

export type WorkerStatus = {
  readonly version: string
  readonly pid: number
  readonly state: string
  readonly shards: readonly {
    readonly index: number
    readonly pid: number | null
    readonly sandboxes: number
    readonly restarts: number
  }[]
  readonly sandboxes: readonly { readonly id: string; readonly agent: string; readonly gateway: string }[]
}

/** Every method rejects with a ClrkError (src/errors.ts) that names what to do. */
export type WorkerControl = {
  readonly status: () => WorkerStatus
  readonly apply: (request: ApplyRequest) => Promise<ApplyResult>
  readonly setSecret: (secret: SecretInput) => Promise<{ readonly keys: readonly string[] }>
  /** Resolves once the agent runs. Abort the signal to stop it. `progress` hears what a pull does until then. */
  readonly run: (request: RunRequest, abort: AbortSignal, progress: (line: string) => void) => Promise<StartedRun>
  /** Calls `listener` for every event until the returned function is called. */
  readonly watch: (listener: (event: WorkerEvent) => void) => () => void
  /** Ends every sandbox and shard, then resolves. */
  readonly shutdown: () => Promise<void>
}
