/** Images: what one says about itself, and getting it when the engine does not have it. */
import type Docker from 'dockerode'
import type { ImageInspectInfo } from 'dockerode'
import { clrkError } from '../errors.ts'
import { registryCredentials } from './docker-credentials.ts'
import { ask, engineWords, statusOf } from './docker-errors.ts'
import type { ImageFacts } from './image-runtime.ts'

export type ImageSource = {
  readonly docker: Docker
  readonly kind: 'docker' | 'podman'
  /** The engine's socket, for sentences. */
  readonly engine: string
  /** Path of Docker's config.json with credentials of registries, or null. */
  readonly dockerConfig: string | null
}

/** As `ImageRuntime.image`. */
export async function findImage(
  source: ImageSource,
  reference: string,
  progress: (line: string) => void,
): Promise<ImageFacts> {
  const facts = await findFacts(source, reference, progress)
  if (source.kind === 'podman') await refuseAnnotations(source, facts)
  return facts
}

async function findFacts(
  source: ImageSource,
  reference: string,
  progress: (line: string) => void,
): Promise<ImageFacts> {
  // It becomes part of the path of a request.
  if (!REFERENCE.test(reference)) throw missing(reference, 'this is not the name of an image')
  const present = await inspect(source, reference)
  if (present !== null) return factsOf(reference, present)
  if (/^(sha256:)?[0-9a-f]{64}$/.test(reference)) throw missing(reference, 'the engine has no image of this id')
  await pull(source, withTag(reference), progress)
  const pulled = await inspect(source, reference)
  if (pulled === null) throw missing(reference, 'it was pulled, and yet it is not there')
  return factsOf(reference, pulled)
}

/** As `ImageRuntime.layers`. */
export async function layersOf(
  { docker, engine }: Pick<ImageSource, 'docker' | 'engine'>,
  { id, reference }: ImageFacts,
): Promise<readonly number[]> {
  const request: Promise<readonly { readonly Size: number }[]> = docker.getImage(id).history()
  const history = await ask(engine, `looking at the layers of ${reference}`, request)
  const sizes = history.map(({ Size }) => Size)
  return sizes.filter(bytes => bytes > 0).reverse()
}

async function inspect({ docker, engine }: ImageSource, reference: string): Promise<ImageInspectInfo | null> {
  const request = docker.getImage(reference).inspect()
  try {
    return await ask(engine, `looking for image ${reference}`, request)
  } catch (error) {
    if ((await request.then(() => null, statusOf)) === 404) return null
    throw error
  }
}

/**
 * Podman copies the annotations of an image's manifest (OCI image-spec, annotations.md) into the runtime's configuration
 * of its containers, and runtimes read some of them as root: by their code, crun's `run.oci.hooks.stdout` names a file
 * to write, and runc's `org.systemd.property.*` sets properties of the container's unit. So an image has such as only
 * describe it, or is not started. Docker hands on none.
 */
async function refuseAnnotations({ docker, engine }: ImageSource, { id, reference }: ImageFacts): Promise<void> {
  const request = new Promise<{ readonly Annotations?: Readonly<Record<string, string>> | null }>((resolve, reject) => {
    const path = `/libpod/images/${id.replace('sha256:', '')}/json`
    docker.modem.dial({ path, method: 'GET', statusCodes: { 200: true } }, (error: unknown, answer: unknown) =>
      error === null ? resolve(answer as object) : reject(error),
    )
  })
  const { Annotations } = await ask(engine, `looking at the annotations of ${reference}`, request)
  const [name] = Object.keys(Annotations ?? {}).filter(name => !DESCRIBES.test(name))
  if (name === undefined) return
  throw clrkError('CLRK_IMAGE_UNAVAILABLE', {
    image: reference,
    reason: `its manifest has the annotation ${name.slice(0, 100)}, which Podman hands to what runs containers as root`,
    fix: 'Build it without, or use Docker, which hands on none.',
  })
}

async function pull(
  { docker, engine, dockerConfig }: ImageSource,
  reference: string,
  progress: (line: string) => void,
) {
  const authconfig = await registryCredentials(reference, dockerConfig)
  const said = new Set<string>()
  try {
    const stream = await docker.pull(reference, authconfig === null ? {} : { authconfig })
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(
        stream,
        error => (error === null ? resolve() : reject(error)),
        (step: { readonly id?: string; readonly status?: string; readonly error?: string }) => {
          // What fails once the answer has begun, which Podman's always has, is told in it.
          if (step.error !== undefined) reject(new Error(step.error))
          const line = [step.id, step.status].filter(Boolean).join(': ')
          // The bars of every layer come many times a second; a step is told once. Podman says some without words.
          if (line !== '' && !said.has(line)) progress(line)
          said.add(line)
        },
      )
    })
  } catch (error) {
    const answered = statusOf(error) !== null || !(error instanceof Error && 'code' in error)
    if (answered) throw missing(reference, engineWords(error))
    await ask(engine, `pulling image ${reference}`, Promise.reject(error))
  }
}

function factsOf(reference: string, { Id, Config }: ImageInspectInfo): ImageFacts {
  return {
    reference,
    id: Id,
    entrypoint: listOf(Config?.Entrypoint),
    command: listOf(Config?.Cmd),
    environment: Object.fromEntries(
      (Config?.Env ?? []).map(line => {
        const equals = line.indexOf('=')
        return equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)]
      }),
    ),
    user: Config?.User ?? '',
    workingDirectory: Config?.WorkingDir || '/',
    stopSignal: stopSignal(Config),
  }
}

function listOf(words: string | readonly string[] | null | undefined): readonly string[] {
  return typeof words === 'string' ? [words] : (words ?? [])
}

/** dockerode's type leaves it out. */
function stopSignal(config: object | undefined): string {
  return config !== undefined && 'StopSignal' in config && config.StopSignal ? String(config.StopSignal) : 'SIGTERM'
}

/** Without a tag the engine would pull all of them. */
function withTag(reference: string): string {
  return /@|:[^/]*$/.test(reference) ? reference : `${reference}:latest`
}

function missing(image: string, reason: string) {
  return clrkError('CLRK_IMAGE_UNAVAILABLE', {
    image,
    reason,
    fix: 'Check its name, log in to its registry (docker login), or build it here.',
  })
}

/** Annotations that describe an image and that no runtime obeys. */
const DESCRIBES = /^(?:org\.opencontainers\.image|com\.docker|vnd\.docker)\./

/** [HOST[:PORT]/]NAME[/NAME]…[:TAG][@DIGEST], or an id (distribution/reference, grammar). */
const REFERENCE =
  /^(?:sha256:)?[0-9a-f]{64}$|^(?:[\w-]+(?:\.[\w-]+)*(?::\d+)?\/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/
