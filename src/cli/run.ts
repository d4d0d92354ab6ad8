/** `clrk run`: a program of this machine in a sandbox of its own, as if it had been started directly. */
import { realpathSync, statSync } from 'node:fs'
import { holdsCode, OWN_CODE } from '../runtimes/own-code.ts'
import type { RunRequest } from '../worker/control.ts'
import { inheritedVariables } from '../worker/surroundings.ts'
import { parseArguments, usageError } from './arguments.ts'
import { attach, callerTerminal } from './attach.ts'
import type { Command } from './command.ts'
import { loadFiles } from './load-files.ts'
import {
  allowedHost,
  cpuCount,
  memoryBytes,
  pidCount,
  runtimeName,
  secretsFromEnvironment,
  stateDirectory,
  userIds,
} from './values.ts'
import { joinWorker, requireRoot } from './worker-process.ts'

export const run: Command = {
  help: `clrk run [OPTIONS] -- COMMAND [ARGUMENT…]
       clrk run [OPTIONS] --image IMAGE [-- COMMAND [ARGUMENT…]]

Runs COMMAND in a sandbox. It sees the system's directories and the tools on PATH, read-only, a home and a /tmp of its
own, and reaches what the gateway's policy allows; its streams, exit status, signals and terminal are the caller's.

  -f FILE|DIRECTORY             manifests of this run (repeatable; directories with all below them)
  --gateway NAME                the EgressGateway whose policy applies (default: the only one in the manifests)
  --allow HOST[:PORT]           a host that may be reached (repeatable; port 443 unless said)
  --secret NAME=ENVVAR[:KEY]    a Secret from a variable of this shell (repeatable; in memory only)
  --workspace DIRECTORY         a directory that is writable inside, at the same path
  --image IMAGE                 run COMMAND in this image instead of this machine's programs
  --read-only                   of an image, leave only /tmp, /var/tmp and the workspace writable
  --runtime RUNTIME             auto, local or docker (default auto: docker where there is an image)
  --user UID[:GID]              whom the program believes to be
  --memory SIZE                 its memory (512Mi, 2Gi)
  --cpus NUMBER                 its cores (0.5 is half of one)
  --pids NUMBER                 its processes and threads
  --json                        print the run's record as the last line
  --state DIRECTORY             join the worker of this state, or start one (default: CLRK_STATE, else ~/.clrk)
`,
  run: async argv => {
    const { request, state, json } = parseRun(argv, process.env)
    requireRoot()
    return attach(() => joinWorker(state), request, json)
  },
}

/** The request that a command line makes. Throws CLRK_ARGUMENT_INVALID, before anything starts. */
export function parseRun(argv: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
  const { options, command } = parseArguments(
    argv,
    {
      file: 'values',
      gateway: 'value',
      allow: 'values',
      secret: 'values',
      workspace: 'value',
      image: 'value',
      'read-only': 'flag',
      runtime: 'value',
      user: 'value',
      memory: 'value',
      cpus: 'value',
      pids: 'value',
      json: 'flag',
      state: 'value',
    },
    { short: { f: 'file' } },
  )
  if ((command ?? []).length === 0 && options.image === null)
    throw usageError('clrk run', 'a command is missing', 'Write clrk run -- COMMAND.')
  const request: RunRequest = {
    what: {
      kind: 'command',
      argv: command ?? [],
      files: loadFiles(options.file),
      secrets: secretsFromEnvironment(options.secret, environment),
      gateway: options.gateway,
      allow: options.allow.map(allowedHost),
    },
    callerEnvironment: inheritedVariables(environment),
    callerDirectory: process.cwd(),
    runtime: runtimeName(options.runtime),
    image: options.image,
    workspace: options.workspace === null ? null : workspaceDirectory(options.workspace),
    readOnly: options['read-only'],
    user: options.user === null ? null : userIds(options.user),
    memoryBytes: options.memory === null ? null : memoryBytes(options.memory),
    cpus: options.cpus === null ? null : cpuCount(options.cpus),
    pids: options.pids === null ? null : pidCount(options.pids),
    stdio: callerTerminal(),
  }
  return { request, state: stateDirectory(options.state, environment), json: options.json }
}

/** The worker looks too; its code may be another one than this command's. */
function workspaceDirectory(path: string): string {
  const real = existingDirectory('--workspace', path)
  if (holdsCode(real)) throw usageError(`--workspace ${path}`, ...OWN_CODE)
  return real
}

/** The real path of a directory that has to be there. */
export function existingDirectory(option: string, path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return realpathSync(path)
  throw usageError(`${option} ${path}`, 'there is no such directory', 'Make it first, or check the path.')
}
