/** Finds the container engine of this machine, and says in a sentence why one cannot be used. */
import { existsSync } from 'node:fs'
import { Agent } from 'node:http'
import { release } from 'node:os'
import { clrkError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { createDockerRuntime } from './docker.ts'
import { createDockerEngine } from './docker-engine.ts'
import { ask } from './docker-errors.ts'
import type { ImageRuntime } from './image-runtime.ts'

/**
 * `host`: DOCKER_HOST, or null for the default sockets. `stateId`: `[a-z0-9]{8}`, tells workers of one host apart. `state`: the
 * worker's keys, which no agent gets for a workspace.
 * `directory`: made if it is missing; the engine mounts programs out of it, so it must be on a file system that both
 * see and that may hold programs. `dockerConfig`: path of Docker's config.json with credentials of registries, or null.
 *
 * Rejects with CLRK_ENGINE_UNAVAILABLE: no engine answers, its socket may not be used, it is too old, or it runs where
 * its namespaces are not ours to enter (another machine, a virtual machine, without root). Installs nothing.
 */
export async function connectEngine(options: {
  readonly host: string | null
  readonly stateId: string
  readonly state: string
  readonly directory: string
  readonly dockerConfig: string | null
}): Promise<ImageRuntime> {
  const socket = socketOf(options.host)
  // Only who uses an engine pays for its client.
  const { default: Docker } = await import('dockerode')
  // Not kept: an engine that was restarted has closed them all. (dockerode's types do not know `agent`.)
  const connection = { socketPath: socket, agent: new Agent({ keepAlive: false }) }
  const first = new Docker({ ...connection, timeout: LIMITS.engineAnswerMs })
  const version: EngineVersion = await ask(socket, 'connecting', first.version())
  const info: EngineInfo = await ask(socket, 'connecting', first.info())
  const refusal = refusalOf(version, info, release())
  if (refusal !== null) throw clrkError('CLRK_ENGINE_UNAVAILABLE', { engine: socket, ...refusal })
  const docker = new Docker({ ...connection, version: `v${apiVersion(version)}` })
  const { stateId, state, directory, dockerConfig } = options
  const kind = isPodman(version) ? 'podman' : 'docker'
  return createDockerRuntime(createDockerEngine({ docker, socket, kind, stateId, state, directory, dockerConfig }))
}

/** The parts of `GET /version` and `GET /info` that decide. */
export type EngineVersion = {
  readonly Version?: string
  readonly ApiVersion?: string
  readonly MinAPIVersion?: string
  readonly Components?: readonly { readonly Name: string; readonly Version: string }[]
}
export type EngineInfo = {
  readonly OperatingSystem?: string
  readonly KernelVersion?: string
  readonly SecurityOptions?: readonly string[] | null
}

/** Why this engine cannot be used, or null. `kernel`: the release of our own. Pure. */
export function refusalOf(
  version: EngineVersion,
  info: EngineInfo,
  kernel: string,
): { readonly reason: string; readonly fix: string } | null {
  const found = version.Version ?? 'of no version'
  if (isPodman(version)) {
    if (before(found, PODMAN)) return { reason: `it is Podman ${found}`, fix: `Podman ${PODMAN} or newer is needed.` }
  } else if (before(version.ApiVersion ?? '0', API)) {
    return { reason: `it is Docker ${found}`, fix: 'Docker 20.10 or newer is needed.' }
  }
  const fix = 'Use an engine that runs on this machine itself, as root.'
  if (/docker desktop/i.test(info.OperatingSystem ?? '')) {
    return { reason: 'it is Docker Desktop, whose containers are in a virtual machine', fix }
  }
  if (info.KernelVersion !== kernel) {
    const other = info.KernelVersion ?? 'of no name'
    return { reason: `its kernel is ${other} and ours ${kernel}: it is on another machine, or a virtual one`, fix }
  }
  if (info.SecurityOptions?.some(option => /(^|,)name=rootless(,|$)/.test(option))) {
    return { reason: 'it runs without root, so its namespaces are not ours to enter', fix }
  }
  return null
}

/** The path in `unix://PATH`; throws for what leads to another machine. */
function socketOf(host: string | null): string {
  if (host === null) return DEFAULT_SOCKETS.find(existsSync) ?? DEFAULT_SOCKETS[0]
  const path = /^unix:\/\/(\/.*)$/.exec(host)?.[1]
  if (path !== undefined) return path
  throw clrkError('CLRK_ENGINE_UNAVAILABLE', {
    engine: host.replace(/\/\/[^/]*@/, '//'), // without a password in it
    reason: 'an engine on another machine cannot be used: its namespaces are not ours to enter',
    fix: 'Name the socket of one on this machine: DOCKER_HOST=unix:///var/run/docker.sock',
  })
}

/** The newest version of the API that both know; newer engines have given up older ones. */
function apiVersion({ ApiVersion = API, MinAPIVersion = API }: EngineVersion): string {
  if (before(ApiVersion, KNOWN_API)) return ApiVersion
  return before(KNOWN_API, MinAPIVersion) ? MinAPIVersion : KNOWN_API
}

function isPodman({ Components = [] }: EngineVersion): boolean {
  return Components.some(({ Name }) => /podman/i.test(Name))
}

function before(version: string, other: string): boolean {
  const [[major = 0, minor = 0], [otherMajor = 0, otherMinor = 0]] = [numbers(version), numbers(other)]
  return major < otherMajor || (major === otherMajor && minor < otherMinor)
}

function numbers(version: string): readonly number[] {
  return version.split('.').map(part => Number.parseInt(part, 10) || 0)
}

const DEFAULT_SOCKETS = ['/var/run/docker.sock', '/run/podman/podman.sock'] as const
const API = '1.41'
const KNOWN_API = '1.44'
const PODMAN = '4.0'
