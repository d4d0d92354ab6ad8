/** Booting an image: the pause container's namespace plumbed before the agent's container exists. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { duplicateDescriptor } from '../kernel/syscalls.ts'
import { type PlumbedNamespace, plumbNamespace } from '../plumbing/netns.ts'
import { connectEngine } from '../runtimes/docker-connect.ts'
import { isWithin } from '../runtimes/host-files.ts'
import type { ImageRuntime, PreparedNamespace } from '../runtimes/image-runtime.ts'
import { installTrust } from '../trust/install.ts'
import { planTrust } from '../trust/plan.ts'
import type { BootRequest, Preparing } from './boot.ts'
import type { Reconciler } from './reconcile.ts'
import type { State } from './state.ts'
import { agentEnvironment } from './surroundings.ts'

/** The engine of this worker, connected to when it is first needed. */
export type EngineConnection = {
  /** For files that the engine must see. */
  readonly directory: string
  /** Has this state ever had to do with one? */
  readonly isUsed: () => boolean
  readonly connected: () => Promise<ImageRuntime>
}

export function createEngineConnection(state: State): EngineConnection {
  const directory = join(state.directory, 'docker')
  let engine: Promise<ImageRuntime> | null = null
  return {
    directory,
    isUsed: () => existsSync(directory),
    connected: () => {
      engine ??= connectEngine({
        host: process.env.DOCKER_HOST ?? null,
        stateId: state.id,
        state: state.directory,
        directory,
        dockerConfig: dockerConfig(),
      }).catch(error => {
        engine = null // it may be there the next time
        throw error
      })
      return engine
    },
  }
}

/** `progress` hears what pulling does. */
export function prepareImage(
  {
    engine,
    reconciler,
    progress,
  }: {
    readonly engine: EngineConnection
    readonly reconciler: Reconciler
    readonly progress: (line: string) => void
  },
  request: BootRequest,
  reference: string,
): Preparing {
  return {
    runtime: 'docker',
    begin: async undo => {
      const { gateway, identity, surroundings } = request
      await reconciler.own(identity.id)
      undo(() => reconciler.disown(identity.id, false))
      const runtime = await engine.connected()
      const image = await runtime.image(reference, progress)
      const { authority } = gateway
      const roots = await runtime.roots(image)
      const files = planTrust(roots, authority.certificatePem, authority.subjectHash)
      const trust = installTrust(files, join(engine.directory, 'trust'), 'root')
      const pod = await runtime.prepare(identity.id, { labels: { gateway: gateway.name } })
      undo(pod.release)
      const namespace = await plumbNamespace(duplicateDescriptor(pod.netns))
      undo(async () => namespace.close())
      return {
        sockets: namespace.sockets,
        start: () =>
          runtime.start(
            {
              id: identity.id,
              image,
              command: request.command,
              args: request.args,
              environment: agentEnvironment(surroundings.callerEnvironment, gateway.policy(), request.environment),
              workingDirectory: request.workingDirectory ?? directoryInWorkspace(surroundings),
              user: request.user,
              workspace: surroundings.workspace,
              readOnlyRoot: request.readOnlyRoot,
              trust,
              limits: request.limits,
              stdio: surroundings.stdio,
            },
            pod,
          ),
        end: isClean => endPod(reconciler, identity.id, { pod, namespace, isClean }),
      }
    },
  }
}

/** Cuts the sandbox off and takes its pause container away; what the engine keeps is removed when it can be. */
export async function endPod(
  reconciler: Reconciler,
  id: string,
  { pod, namespace, isClean }: { pod: PreparedNamespace; namespace: PlumbedNamespace; isClean: boolean },
): Promise<void> {
  namespace.close()
  const isReleased = await pod.release().then(
    () => true,
    () => false,
  )
  await reconciler.disown(id, isClean && isReleased)
}

/** The caller's own directory where the workspace shows it, as a local sandbox has it; null: the image's. */
function directoryInWorkspace({ workspace, callerDirectory }: BootRequest['surroundings']): string | null {
  return workspace !== null && isWithin(callerDirectory, workspace) ? callerDirectory : null
}

/** Path of Docker's own config.json, or null. */
export function dockerConfig(): string | null {
  const home = process.env.DOCKER_CONFIG ?? (process.env.HOME === undefined ? null : join(process.env.HOME, '.docker'))
  const path = home === null ? null : join(home, 'config.json')
  return path !== null && existsSync(path) ? path : null
}
