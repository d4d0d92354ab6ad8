/** An image's files by way of the archive API, out of a container that is made for it and never started. */
import { randomBytes } from 'node:crypto'
import { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { Container } from 'dockerode'
import { type ArchiveSource, type Kind, readEntries } from '../trust/image-walk.ts'
import type { DockerEngine } from './docker-engine.ts'
import { ask, engineWords, statusOf } from './docker-errors.ts'
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
  engine.reading.add(sandbox)
  try {
    return await readFrom(engine, image, sandbox, read)
  } finally {
    engine.reading.delete(sandbox)
  }
}

async function readFrom<T>(
  engine: DockerEngine,
  image: ImageFacts,
  sandbox: string,
  read: (files: ArchiveSource) => Promise<T>,
): Promise<T> {
  const request = engine.docker.createContainer({
    ...{ name: containerName(engine.stateId, sandbox, 'agent'), Image: image.id, Cmd: ['never started'] },
    User: '0:0', // Podman looks for the image's own also where nothing is started
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
  const read: ArchiveSource['read'] = async path => {
    const stream = await ask(socket, `reading ${path} of the image`, container.getArchive({ path }))
    if (!(stream instanceof Readable)) throw new Error('the engine gave no archive')
    return stream
  }
  const source: ArchiveSource = {
    kind: async path => {
      const request = container.infoArchive({ path })
      const status = await request.then(() => 200, statusOf)
      if (status === 404 || (status === 500 && (await isCircle(container, path)))) return null
      return kindOf(statIn(await ask(socket, `looking at ${path} of the image`, request)))
    },
    target: async path => {
      let target: string | null = null
      await readEntries(source, path, async ({ header }) => {
        if (header.type === 'symlink') target = header.linkname
        return 'enough'
      })
      if (target !== null) return target
      // Podman's archive is of what the link leads to.
      return statIn(await ask(socket, `looking at ${path} of the image`, container.infoArchive({ path }))).linkTarget
    },
    read,
  }
  return source
}

/** Docker looks where a link leads. An answer to HEAD has no words, so the same is asked where one has. */
async function isCircle(container: Container, path: string): Promise<boolean> {
  return container.getArchive({ path }).then(
    stream => {
      if (stream instanceof Readable) stream.destroy()
      return false
    },
    error => /too many (links|levels of symbolic links)/.test(engineWords(error)),
  )
}

/** X-Docker-Container-Path-Stat: base64 of JSON. `mode` is Go's fs.FileMode. */
type PathStat = { readonly mode: number; readonly linkTarget: string }

function statIn(answer: unknown): PathStat {
  if (!(answer instanceof IncomingMessage)) throw new Error('the engine gave no answer')
  answer.resume()
  const header = String(answer.headers['x-docker-container-path-stat'])
  return JSON.parse(Buffer.from(header, 'base64').toString())
}

function kindOf({ mode }: PathStat): Kind {
  const has = (bit: number) => Math.floor(mode / bit) % 2 === 1
  if (has(2 ** 31)) return 'directory'
  if (has(2 ** 27)) return 'link'
  return GO_SPECIAL.some(has) ? 'other' : 'file'
}

/** ModeDevice, ModeNamedPipe, ModeSocket, ModeCharDevice, ModeIrregular. */
const GO_SPECIAL = [2 ** 26, 2 ** 25, 2 ** 24, 2 ** 21, 2 ** 19] as const
