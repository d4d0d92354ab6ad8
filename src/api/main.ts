/**
 * The worker's process entry: `--state DIR [--ephemeral]`. Says once, as a line of JSON on descriptor 3, that it is ready or why
 * not; stops on SIGTERM or SIGINT, and, if ephemeral, when its last client has gone.
 */
import { closeSync, readFileSync, writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { clrkError, isClrkError, messageOf } from '../errors.ts'
import { openState } from '../worker/state.ts'
import { createWorker } from '../worker/worker.ts'
import { serveControl } from './server.ts'

const READY_DESCRIPTOR = 3
/** Long enough for a caller that just lost the race to start one. */
const EPHEMERAL_GRACE_MS = 200

function say(message: object): void {
  try {
    writeSync(READY_DESCRIPTOR, `${JSON.stringify(message)}\n`)
    closeSync(READY_DESCRIPTOR)
  } catch {
    // nobody listens: started by hand
  }
}

/** package.json is two levels up in a clone, three in a package. */
function version(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const manifest: { name?: string; version?: string } = JSON.parse(
        readFileSync(new URL(path, import.meta.url), 'utf8'),
      )
      if (manifest.name === 'clrk' && manifest.version !== undefined) return manifest.version
    } catch {}
  }
  return 'unknown'
}

async function main(): Promise<void> {
  process.umask(0o022) // what bwrap makes must be passable for other uids; what is ours alone says so itself
  const { values } = parseArgs({
    options: { state: { type: 'string' }, ephemeral: { type: 'boolean', default: false } },
  })
  if (values.state === undefined) throw clrkError('CLRK_INTERNAL', { reason: 'the worker was started without --state' })
  if (process.getuid?.() !== 0) throw clrkError('CLRK_NOT_ROOT')
  const state = openState(values.state)
  const worker = await createWorker(state, version())
  let idle: NodeJS.Timeout | null = null
  let stopping = false
  const stop = async () => {
    if (stopping) return
    stopping = true
    server.stopListening()
    await worker.shutdown()
    await server.close()
    process.exit(0)
  }
  const server = await serveControl(worker, state.controlSocket, clients => {
    if (!values.ephemeral) return
    if (idle !== null) clearTimeout(idle)
    idle = clients === 0 ? setTimeout(() => void stop(), EPHEMERAL_GRACE_MS) : null
  })
  if (values.ephemeral) idle = setTimeout(() => void stop(), 10_000) // whoever started it never came
  process.on('SIGTERM', () => void stop())
  process.on('SIGINT', () => void stop())
  process.on('SIGHUP', () => {})
  say({ ready: true })
}

main().catch(error => {
  process.stderr.write(`${new Date().toISOString()} error ${messageOf(error)}\n`)
  say({ error: isClrkError(error) ? error.fault : { code: 'CLRK_INTERNAL', details: { reason: messageOf(error) } } })
  process.exit(1)
})
