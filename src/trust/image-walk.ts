/**
 * Walking through an image by way of a container engine's archive API, which answers for single paths. The image is
 * hostile (T118): links are followed here, one by one and inside the image, never by the engine.
 */
import { dirname, join } from 'node:path/posix'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Extract, extract } from 'tar-stream'
import { clrkError } from '../errors.ts'

export type ArchiveSource = {
  /** What is at an absolute path whose parents are no links; null for nothing. Links are not followed. */
  readonly kind: (path: string) => Promise<Kind | null>
  /** What the link at `path` says, or, by some engines, where it leads in the end. */
  readonly target: (path: string) => Promise<string>
  /** A tar of it: names begin with its last component. Some engines follow a link that `path` is. */
  readonly read: (path: string) => Promise<Readable>
}

export type Kind = 'file' | 'directory' | 'link' | 'other'

/** One entry of an archive: its header, and its bytes as a stream. */
export type Entry = Extract extends AsyncIterable<infer Each> ? Each : never

/**
 * Where `path` (absolute) really leads in the image, as `resolveInside` of image-roots.ts; null if nowhere. `look` is
 * asked about one path at a time, whose parents are directories; `target` about those that it said are links.
 */
export async function resolveInImage(
  path: string,
  look: (path: string) => Promise<Kind | null>,
  target: (link: string) => string | Promise<string>,
): Promise<string | null> {
  let remaining = path.split('/')
  let resolved = '/'
  for (let followed = 0; remaining.length > 0; ) {
    const [component = '', ...rest] = remaining
    remaining = rest
    if (component === '' || component === '.') continue
    if (component === '..') {
      resolved = dirname(resolved)
      continue
    }
    const inside = join(resolved, component)
    const kind = await look(inside)
    if (kind === null || (kind !== 'link' && kind !== 'directory' && remaining.some(it => it !== ''))) return null
    if (kind !== 'link') {
      resolved = inside
      continue
    }
    followed += 1
    if (followed > MOST_LINKS) return null
    const to = await target(inside)
    if (to.startsWith('/')) resolved = '/'
    remaining = [...to.split('/'), ...remaining]
  }
  return resolved
}

/**
 * Calls `each` with every entry of the archive of `path`, and what tells where a name in it lies in the image. Reads no
 * further once `each` says 'enough'.
 */
export async function readEntries(
  source: ArchiveSource,
  path: string,
  each: (entry: Entry, at: (name: string) => string) => Promise<unknown>,
): Promise<void> {
  const at = (name: string) => {
    const names = name.split('/').filter(part => part !== '' && part !== '.')
    if (names.includes('..')) {
      throw clrkError('CLRK_TRUST_FAILED', {
        path,
        reason: 'the archive names a parent directory',
        fix: 'Mend the image.',
      })
    }
    return join(dirname(path), ...names)
  }
  const stream = await source.read(path)
  const archive = extract()
  const reading = pipeline(stream, archive)
  reading.catch(() => {}) // told by the loop, which is what ends early
  try {
    for await (const entry of archive) {
      if ((await each(entry, at)) === 'enough') return
      entry.resume()
    }
    await reading
  } finally {
    stream.destroy()
  }
}

const MOST_LINKS = 40 // as the kernel (ELOOP)
