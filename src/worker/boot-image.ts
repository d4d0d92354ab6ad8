/** Booting an image: the pause container's namespace plumbed before the agent's container exists. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../errors.ts'
import { duplicateDescriptor } from '../kernel/syscalls.ts'
import { plumbNamespace } from '../plumbing/netns.ts'
import { connectEngine } from '../runtimes/docker-connect.ts'
import { isWithin } from '../runtimes/host-files.ts'
import type { ImageRuntime, RunningImageSandbox } from '../runtimes/image-runtime.ts'
import { installTrust } from '../trust/install.ts'
import { planTrust } from '../trust/plan.ts'
import type { BootRequest, Preparing } from './boot.ts'
import type { State } from './state.ts'
import { agentEnvironment } from './surroundings.ts'

export type ImageBoot = {
  readonly prepare: (request: BootRequest, image: string) => Preparing
  /** Removes what a killed worker with this state left; connects to no engine that it never used. */
  readonly sweep: () => Promise<void>
}

/** `progress` hears what pulling does. The engine is connected to when the first image is asked for. */
export function createImageBoot(state: State, progress: (line: string) => void): ImageBoot {
  const directory = join(state.directory, 'docker')
  let engine: Promise<ImageRuntime> | null = null

  function connected(): Promise<ImageRuntime> {
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
  }

  return {
    prepare: (request, reference) => ({
      runtime: 'docker',
      begin: async undo => {
        const runtime = await connected()
        const image = await runtime.image(reference, progress)
        const { gateway, identity, surroundings } = request
        const { authority } = gateway
        const roots = await runtime.roots(image)
        const files = planTrust(roots, authority.certificatePem, authority.subjectHash)
        const trust = installTrust(files, join(directory, 'trust'), 'root')
        const pod = await runtime.prepare(identity.id, { labels: { gateway: gateway.name } })
        undo(pod.release)
        const namespace = await plumbNamespace(duplicateDescriptor(pod.netns))
        undo(async () => namespace.close())
        let agent: RunningImageSandbox | null = null
        return {
          sockets: namespace.sockets,
          start: async () => {
            agent = await runtime.start(
              {
                id: identity.id,
                image,
                command: request.command,
                args: request.args,
                environment: agentEnvironment(surroundings.callerEnvironment, gateway.policy(), request.environment),
                workingDirectory: request.workingDirectory ?? directoryInWorkspace(surroundings),
                user: request.user,
                workspace: surroundings.workspace,
                readOnlyRoot: false,
                trust,
                limits: request.limits,
                stdio: surroundings.stdio,
              },
              pod,
            )
            return agent
          },
          end: async () => {
            namespace.close()
            await pod.release()
          },
        }
      },
    }),
    sweep: async () => {
      if (!existsSync(directory)) return
      try {
        const runtime = await connected()
        for (const { sandbox } of await runtime.list()) await runtime.remove(sandbox)
      } catch (error) {
        progress(`containers of an earlier worker could not be looked for: ${messageOf(error)}`)
      }
    },
  }
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
