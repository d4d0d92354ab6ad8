/** An image's files by way of the archive API, out of a container that is made for it and never started. */
import { randomBytes } from 'node:crypto'
import { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { Container } from 'dockerode'
import type { ArchiveSource } from '../trust/image-archive.ts'
import type { DockerEngine } from './docker-engine.ts'
import { ask, statusOf } from './docker-errors.ts'
import { removeContainer } from './docker-pod.ts'
import { containerName, LABELS } from './docker-spec.ts'
import type { ImageFacts } from './image-runtime.ts'

/** Gives `read` the files of `image`, and takes the container away after. */
export async function withImageFiles<T>(
  engine: DockerEngine,
  image: ImageFacts,
  read: (files: ArchiveSource) => Promise<T>,
): Promise<T> {
  // Listed and removed like a sandbox's, where a crash leaves one.
  const sandbox = `roots-${randomBytes(5).toString('hex')}`
  const request = engine.docker.createContainer({
    ...{ name: containerName(engine.stateId, sandbox, 'agent'), Image: image.id, Cmd: ['never started'] },
    Labels: { [LABELS.state]: engine.stateId, [LABELS.sandbox]: sandbox, [LABELS.role]: 'agent' },
    HostConfig: { NetworkMode: 'none', LogConfig: { Type: 'none', Config: {} } },
  })
  const container = await ask(engine.socket, `opening image ${image.reference}`, request)
  try {
    return await read(filesOf(engine, container))
  } finally {
    await removeContainer(engine, container)
  }
}

function filesOf({ socket }: DockerEngine, container: Container): ArchiveSource {
  return {
    kind: async path => {
      const request = container.infoArchive({ path })
      const isMissing = await request.then(
        () => false,
        error => statusOf(error) === 404,
      )
      return isMissing ? null : kindIn(await ask(socket, `looking at ${path} of the image`, request))
    },
    read: async path => {
      const stream = await ask(socket, `reading ${path} of the image`, container.getArchive({ path }))
      if (!(stream instanceof Readable)) throw new Error('the engine gave no archive')
      return stream
    },
  }
}

/** X-Docker-Container-Path-Stat: base64 of JSON whose `mode` is Go's fs.FileMode. */
function kindIn(answer: unknown): Awaited<ReturnType<ArchiveSource['kind']>> {
  if (!(answer instanceof IncomingMessage)) throw new Error('the engine gave no answer')
  answer.resume()
  const header = String(answer.headers['x-docker-container-path-stat'])
  const { mode }: { readonly mode: number } = JSON.parse(Buffer.from(header, 'base64').toString())
  const has = (bit: number) => Math.floor(mode / bit) % 2 === 1
  if (has(2 ** 31)) return 'directory'
  if (has(2 ** 27)) return 'link'
  return GO_SPECIAL.some(has) ? 'other' : 'file'
}

/** ModeDevice, ModeNamedPipe, ModeSocket, ModeCharDevice, ModeIrregular. */
const GO_SPECIAL = [2 ** 26, 2 ** 25, 2 ** 24, 2 ** 21, 2 ** 19] as const
