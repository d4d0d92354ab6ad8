/** What happens to our containers by somebody else's hand (Docker Engine API, GET /events). */
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { LABELS } from './docker-spec.ts'

export type ContainerEvents = {
  /**
   * Calls `handler` with each action (`die`, `pause`, …) on container `id` from now on; resolves when that is so, to what
   * ends it. One connection serves all, and only while somebody watches. When it breaks, the engine is gone: whoever
   * waits for a container learns that by other means.
   */
  readonly watch: (id: string, handler: (action: string) => void) => Promise<() => void>
}

export function createContainerEvents(docker: Docker, stateId: string): ContainerEvents {
  const handlers = new Map<string, (action: string) => void>()
  let connection: Promise<Readable> | null = null

  async function connect(): Promise<Readable> {
    const filters = JSON.stringify({ type: ['container'], label: [`${LABELS.state}=${stateId}`] })
    const stream = await docker.getEvents({ filters })
    if (!(stream instanceof Readable)) throw new Error('the engine gave no events')
    stream.on('close', () => {
      connection = null
    })
    const lines = createInterface({ input: stream })
    lines.on('error', () => {}) // `close` follows
    lines.on('line', line => {
      const { id, action } = parse(line)
      handlers.get(id)?.(action)
    })
    return stream
  }

  return {
    watch: async (id, handler) => {
      handlers.set(id, handler)
      connection ??= connect()
      try {
        await connection
      } catch (error) {
        connection = null
        handlers.delete(id)
        throw error
      }
      return () => {
        handlers.delete(id)
        if (handlers.size > 0) return
        void connection?.then(stream => stream.destroy())
        connection = null
      }
    },
  }
}

function parse(line: string): { readonly id: string; readonly action: string } {
  try {
    const event: { readonly Actor?: { readonly ID?: unknown }; readonly Action?: unknown } = JSON.parse(line)
    return { id: String(event.Actor?.ID), action: String(event.Action) }
  } catch {
    return { id: '', action: '' } // half a line: the engine ended
  }
}
