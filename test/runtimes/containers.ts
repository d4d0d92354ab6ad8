/**
 * Real containers for the tests of this folder, by a private engine on a machine of its own. Importing this file puts
 * the process there by starting it over.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { connectEngine } from '../../src/runtimes/docker-connect.ts'
import type {
  ImageFacts,
  ImageRuntime,
  ImageSandboxExit,
  ImageSandboxSpec,
  RunningImageSandbox,
} from '../../src/runtimes/image-runtime.ts'
import { busybox, type Engine, importImage, onOwnMachine, startEngine } from '../world/engine.ts'

onOwnMachine()

export const STATE_ID = 'testing0'
export const engine: Engine = await startEngine()
test.after(() => engine.stop())

const probeProgram = join(engine.scratch, 'probe')
execFileSync('gcc', ['-static', '-o', probeProgram, join(import.meta.dirname, 'seccomp.c')])
/** test/runtimes/seccomp.c as a static program. */
export const PROBE = { bytes: readFileSync(probeProgram), mode: 0o755 }

await importImage(engine, 'localhost/busybox:latest', { ...busybox(), probe: PROBE })
export const runtime: ImageRuntime = await connect(STATE_ID)
export const BUSYBOX: ImageFacts = await runtime.image('localhost/busybox:latest', () => {})

export function connect(stateId: string): Promise<ImageRuntime> {
  const host = `unix://${engine.socket}`
  return connectEngine({
    host,
    stateId,
    state: join(engine.scratch, 'state'),
    directory: join(engine.scratch, 'state'),
    dockerConfig: null,
  })
}

let count = 0

/** The least that a sandbox needs; `change` says what differs. */
export function specOf(command: readonly string[], change: Partial<ImageSandboxSpec> = {}): ImageSandboxSpec {
  return {
    id: `box-${count++}`,
    image: BUSYBOX,
    command,
    args: [],
    environment: {},
    workingDirectory: null,
    user: null,
    workspace: null,
    readOnlyRoot: false,
    trust: { binds: [], environment: {} },
    limits: { memoryBytes: 64 * 2 ** 20, cpus: 1, pids: 50 },
    stdio: { kind: 'pipes' },
    ...change,
  }
}

/** Starts a sandbox that the end of the test ends. */
export async function startSandbox(t: TestContext, spec: ImageSandboxSpec): Promise<RunningImageSandbox> {
  const prepared = await runtime.prepare(spec.id, { labels: {} })
  let sandbox: RunningImageSandbox | null = null
  t.after(async () => {
    await sandbox?.stop()
    await prepared.release()
  })
  sandbox = await runtime.start(spec, prepared)
  return sandbox
}

export type Ran = { readonly stdout: string; readonly stderr: string; readonly exit: ImageSandboxExit }

/** Runs a command to its end with an empty standard input, and leaves nothing of it. */
export async function run(command: readonly string[], change: Partial<ImageSandboxSpec> = {}): Promise<Ran> {
  const spec = specOf(command, change)
  const prepared = await runtime.prepare(spec.id, { labels: {} })
  try {
    const sandbox = await runtime.start(spec, prepared)
    sandbox.stdin.end()
    const [stdout, stderr, exit] = await Promise.all([
      readAll(sandbox.stdout),
      sandbox.stderr === null ? '' : readAll(sandbox.stderr),
      sandbox.exited,
    ])
    await sandbox.stop()
    return { stdout, stderr, exit }
  } finally {
    await prepared.release()
  }
}

export async function readAll(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Reads until the text so far matches; fails with that text if it ends before. */
export async function readUntil(stream: RunningImageSandbox['stdout'], pattern: RegExp): Promise<string> {
  let text = ''
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += chunk
    if (pattern.test(text)) return text
  }
  throw new Error(`${pattern} is not in ${JSON.stringify(text)}`)
}

/** A shell command inside. */
export const sh = (script: string): readonly string[] => ['/bin/sh', '-c', script]
