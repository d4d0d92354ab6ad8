/** Asks the worker for leaf certificates: all that are wanted in one turn of the event loop go in one message. */
import type { SignedLeaf, ToShard, ToWorker } from './protocol.ts'

type Wanted = Extract<ToWorker, { type: 'sign' }>['wanted'][number]

export type Signing = {
  /** Rejects where the worker signs none. */
  readonly sign: (gateway: string, name: string) => Promise<SignedLeaf>
  readonly signed: (message: Extract<ToShard, { type: 'signed' }>) => void
}

export function createSigning(send: (message: ToWorker) => void): Signing {
  const waiting = new Map<number, { resolve: (leaf: SignedLeaf) => void; reject: (error: Error) => void }>()
  let requests = 0
  let wanted: Wanted[] = []

  function ask(): void {
    send({ type: 'sign', wanted })
    wanted = []
  }

  return {
    sign: (gateway, name) =>
      new Promise((resolve, reject) => {
        const request = ++requests
        waiting.set(request, { resolve, reject })
        if (wanted.push({ request, gateway, name }) === 1) setImmediate(ask)
      }),
    signed: ({ leaves }) => {
      for (const { request, leaf } of leaves) {
        const asked = waiting.get(request)
        waiting.delete(request)
        if (leaf === null) asked?.reject(new Error('the worker signed no certificate'))
        else asked?.resolve(leaf)
      }
    },
  }
}
