/** What boots agents in images: types only. `docker.ts` is it for Docker and for Podman. */
import type { Readable, Writable } from 'node:stream'
import type { HostRoots } from '../trust/image-roots.ts'
import type { ArchiveSource } from '../trust/image-walk.ts'
import type { TrustPlan } from '../trust/plan.ts'
import type { RunningSandbox, SandboxExit, SandboxLimits, SandboxSpec } from './runtime.ts'

/** What an image says about itself (OCI image-spec, config.md). */
export type ImageFacts = {
  /** As the caller wrote it. */
  readonly reference: string
  /** `sha256:…`: what containers are made of, wherever the reference may lead by then. */
  readonly id: string
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** USER as it is written, a name or a number, perhaps with a group; '' is root. */
  readonly user: string
  readonly workingDirectory: string
  /** STOPSIGNAL as it is written, a name or a number. */
  readonly stopSignal: string
}

export type ImageSandboxSpec = {
  /** DNS label, unique on this host: names the containers and the sandbox's host name. */
  readonly id: string
  readonly image: ImageFacts
  /** Replaces ENTRYPOINT and drops CMD, where it is not empty. */
  readonly command: readonly string[]
  /** Replaces CMD, where it is not empty. */
  readonly args: readonly string[]
  /** Over the image's ENV, under the trust store's variables. */
  readonly environment: Readonly<Record<string, string>>
  /** Null: WORKDIR. */
  readonly workingDirectory: string | null
  /** Null: USER, or the workspace's owner. */
  readonly user: { readonly uid: number; readonly gid: number } | null
  /** A host directory that is writable inside at the same path; the agent is its owner or is not started. */
  readonly workspace: string | null
  readonly readOnlyRoot: boolean
  /** Its sources must be paths that the engine sees too: not on a mount of the worker's own. */
  readonly trust: TrustPlan
  readonly limits: SandboxLimits
  readonly stdio: SandboxSpec['stdio']
}

/** A sandbox's network namespace, held by its pause container: `lo` alone, nothing set up in it yet. */
export type PreparedNamespace = {
  /** A descriptor of it, close-on-exec. */
  readonly netns: number
  /** Id of the pause container. */
  readonly pause: string
  /** Closes the descriptor and removes the pause container. May be called again. */
  readonly release: () => Promise<void>
}

/** `reason`: what ended it that the agent did not do itself; null where it ended by itself or by a signal. */
export type ImageSandboxExit = SandboxExit & { readonly reason: ExitReason | null }
export type ExitReason = 'out-of-memory' | 'paused-from-outside' | 'namespace-gone' | 'engine-gone'

export type RunningImageSandbox = Omit<RunningSandbox, 'exited' | 'stdin' | 'stdout' | 'stderr'> & {
  readonly stdin: Writable
  readonly stdout: Readable
  /** Shares a connection with `stdout`: read both, or neither goes on. */
  readonly stderr: Readable | null
  readonly exited: Promise<ImageSandboxExit>
}

/** What is there of a sandbox, as the engine tells it. */
export type FoundSandbox = {
  readonly sandbox: string
  /** Id of the agent's container; null where there is none. */
  readonly agent: string | null
  readonly running: boolean
  /** Id of the pause container and its process on this host; null where there is none, or it has ended. */
  readonly pause: { readonly id: string; readonly pid: number } | null
  /** What was given to `prepare`. */
  readonly labels: Readonly<Record<string, string>>
}

export type ImageRuntime = {
  readonly kind: 'docker'
  /**
   * Pulls the image if the engine does not have it; `progress` gets a line for each step of that, on no other occasion.
   * Rejects with CLRK_IMAGE_UNAVAILABLE.
   */
  readonly image: (reference: string, progress: (line: string) => void) => Promise<ImageFacts>
  /** The image's own roots, read once per image id. Rejects with CLRK_TRUST_FAILED. */
  readonly roots: (image: ImageFacts) => Promise<HostRoots>
  /** Gives `read` the files of the image, for as long as it takes; nothing of the image is run. */
  readonly files: <T>(image: ImageFacts, read: (files: ArchiveSource) => Promise<T>) => Promise<T>
  /** Bytes of each layer, the first one first; what made them may hold keys, so it is not told. */
  readonly layers: (image: ImageFacts) => Promise<readonly number[]>
  /**
   * Starts the pause container of sandbox `id`. `labels`: kept on it for `list`.
   * Rejects with CLRK_SANDBOX_FAILED or CLRK_ENGINE_UNAVAILABLE and leaves nothing behind, as `start` does.
   */
  readonly prepare: (
    id: string,
    options: { readonly labels: Readonly<Record<string, string>> },
  ) => Promise<PreparedNamespace>
  /** Starts the agent in `prepared`, which must be plumbed by now. */
  readonly start: (spec: ImageSandboxSpec, prepared: Pick<PreparedNamespace, 'pause'>) => Promise<RunningImageSandbox>
  /** Sandboxes of this state, for adopt-or-remove after a crash, and what a crash left of reading an image. */
  readonly list: () => Promise<readonly FoundSandbox[]>
  /**
   * The namespace of a sandbox whose worker has gone, if its agent still runs in it, not paused, and the pause container
   * holds that very namespace. Rejects with the reason otherwise. Its `release` removes the pause container.
   */
  readonly reopen: (found: FoundSandbox) => Promise<PreparedNamespace>
  /** Attends to the agent of a sandbox that was reopened, as `start` does to its own; its input has ended. */
  readonly adopt: (found: FoundSandbox) => Promise<RunningImageSandbox>
  /** How the agent ended; null where it did not, was never started, or is gone. */
  readonly exitOf: (found: FoundSandbox) => Promise<SandboxExit | null>
  /** Removes whatever there is of a sandbox of this state. */
  readonly remove: (sandbox: string) => Promise<void>
}
