/** clrk's own command line, on the pretend host of a world. */
import assert from 'node:assert/strict'
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AuditLine } from '../../src/shard/protocol.ts'
import type { RunRecord, WorkerStatus } from '../../src/worker/control.ts'
import type { Finished, MachineProcess, RunOptions } from './machine.ts'
import { type Resource, writeManifests } from './manifests.ts'
import type { World } from './world.ts'

export const REPOSITORY = resolve(import.meta.dirname, '../..')
export const CLRK = ['sh', join(REPOSITORY, 'src/clrk')] as const

export type ClrkRun = {
  readonly manifests?: readonly Resource[]
  readonly allow?: readonly string[]
  readonly user?: '0' | '1000'
  readonly workspace?: string
  /** Name of the state directory below the world's; runs that share it share a worker. */
  readonly state?: string
  /** Further arguments in front of `--`. */
  readonly arguments?: readonly string[]
} & RunOptions

/** `clrk run` to the end. When it takes too long, the error shows the worker's log. */
export function clrkRun(world: World, argv: readonly string[], options: ClrkRun = {}): Promise<Finished> {
  return world.host(runArguments(world, argv, options), options).catch(error => {
    const log = join(stateOf(world, options.state), 'worker.log')
    throw new Error(`${error.message}\n${existsSync(log) ? readFileSync(log, 'utf8') : 'no worker.log'}`)
  })
}

/** `clrk run`, left running. */
export function spawnClrkRun(world: World, argv: readonly string[], options: ClrkRun = {}): MachineProcess {
  return world.spawnHost(runArguments(world, argv, options), options)
}

/** `clrk run --json`: what the command wrote, and the record. */
export async function clrkRecord(
  world: World,
  argv: readonly string[],
  options: ClrkRun = {},
): Promise<Finished & { readonly record: RunRecord }> {
  const finished = await clrkRun(world, argv, { ...options, arguments: ['--json', ...(options.arguments ?? [])] })
  const lines = finished.stdout.trimEnd().split('\n')
  const last = lines.pop() ?? ''
  assert.match(last, /^\{/, `no record: ${finished.stdout}\n${finished.stderr}`)
  return { ...finished, stdout: lines.map(line => `${line}\n`).join(''), record: JSON.parse(last) as RunRecord }
}

/** `clrk dev` with `manifests`, up to the moment when they are applied; rejects when it ends before. */
export async function startWorker(
  world: World,
  manifests: readonly Resource[],
  { state = 'state', arguments: more = [], ...options }: ClrkRun = {},
): Promise<MachineProcess> {
  const file = writeManifests(world, manifests, `${state}-worker.yaml`)
  const worker = world.spawnHost([...CLRK, 'dev', '-f', file, '--state', stateOf(world, state), ...more], options)
  await worker.saw(/ ready$/m)
  return worker
}

/** SIGTERM to a worker; resolves when it has ended. */
export async function stopWorker(worker: MachineProcess): Promise<Finished> {
  worker.kill('SIGTERM')
  return worker.exited
}

export function clrkSecretSet(world: World, name: string, literal: string, state = 'state'): Promise<Finished> {
  return world.host([...CLRK, 'secret', 'set', name, '--from-literal', literal, '--state', stateOf(world, state)])
}

export function stateOf(world: World, state = 'state'): string {
  return join(world.directory, state)
}

/** Every audit line of a state directory, oldest file first. */
export function auditLines(world: World, state = 'state'): readonly AuditLine[] {
  const directory = join(stateOf(world, state), 'audit')
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .filter(name => name.endsWith('.jsonl'))
    .sort()
    .flatMap(name => readFileSync(join(directory, name), 'utf8').split('\n').filter(Boolean))
    .map(line => JSON.parse(line) as AuditLine)
}

/** A directory below the world's that an agent may own, for `--workspace`: in an image, who owns it is who runs. */
export function makeWorkspace(world: World, name = 'workspace', owner = 0): string {
  const path = join(world.directory, name)
  mkdirSync(path)
  chownSync(path, owner, owner)
  return path
}

/** The command line of `clrkRun`, for tests that start it another way. */
export function runArguments(world: World, argv: readonly string[], options: ClrkRun = {}): readonly string[] {
  const { manifests, allow = [], user, workspace, state = 'state', arguments: more = [] } = options
  const file = manifests === undefined ? [] : ['-f', writeManifests(world, manifests, `run-${++files}.yaml`)]
  return [
    ...[...CLRK, 'run', ...file, '--state', stateOf(world, state)],
    ...allow.flatMap(host => ['--allow', host]),
    ...(user === undefined ? [] : ['--user', user]),
    ...(workspace === undefined ? [] : ['--workspace', workspace]),
    ...(world.image === null ? [] : ['--image', world.image]),
    ...[...more, '--', ...argv],
  ]
}

let files = 0

/** What `clrk status --json` says; process ids as the world's host counts. */
export async function clrkStatus(world: World, state = 'state'): Promise<WorkerStatus> {
  const { code, stdout, stderr } = await world.host([...CLRK, 'status', '--json', '--state', stateOf(world, state)])
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout) as WorkerStatus
}
