/** What the docker runtime needs besides: an engine whose namespaces are ours to enter, and two static programs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isClrkError } from '../errors.ts'
import type { Probe } from '../kernel/probes.ts'
import { connectEngine } from '../runtimes/docker-connect.ts'
import { staticProgram } from '../runtimes/static-programs.ts'
import { isRoot, onlyRoot } from './probes-host.ts'

/** `host`: DOCKER_HOST, or null. Asks the engine who it is and nothing else. */
export async function probeEngine(host: string | null): Promise<Probe> {
  try {
    await connectEngine({ host, stateId: 'clrkdoct', state: tmpdir(), directory: tmpdir(), dockerConfig: null })
  } catch (error) {
    const isClosed = isClrkError(error) && error.fault.details.reason === 'this user may not use its socket'
    if (isClosed && !isRoot()) return onlyRoot(`whether the engine at ${error.fault.details.engine} can be used`)
    throw error
  }
  return { answer: 'yes', found: 'the engine answers, and its containers run on this machine as root' }
}

export async function probePrograms(): Promise<Probe> {
  const directory = mkdtempSync(join(tmpdir(), 'clrk-doctor-'))
  try {
    const programs = [await staticProgram('pause', directory), await staticProgram('init', directory)]
    const isCompiled = programs.some(program => program.startsWith(directory))
    return { answer: 'yes', found: isCompiled ? 'gcc compiles pause and init' : 'pause and init came with clrk' }
  } finally {
    rmSync(directory, { recursive: true })
  }
}
