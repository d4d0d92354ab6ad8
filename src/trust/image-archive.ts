/**
 * Reads an image's trust store by way of a container engine's archive API, which copies single paths out of it: what
 * belongs to the trust store is copied to a directory, as it stands in the image, and read there like any root.
 *
 * The image is hostile (T118). Paths are walked link by link with questions about one path at a time, nothing is written
 * below a link, and `readHostRoots` resolves inside the directory again.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path/posix'
import { buffer } from 'node:stream/consumers'
import { clrkError, isClrkError, messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { BUNDLES, CERTS_DIRECTORY, type HostRoots, KEYSTORES, readHostRoots } from './image-roots.ts'
import { type ArchiveSource, type Entry, type Kind, readEntries, resolveInImage } from './image-walk.ts'

/**
 * The roots of the image that `open` gives access to; `open` is not called where `directory` has them already. The
 * directory's name must say which image it is. `keystores`: paths to look for beside the well-known ones.
 * Rejects with CLRK_TRUST_FAILED past a limit, or with what `open` does; a later call starts anew.
 */
export async function readImageRoots(
  open: (read: (source: ArchiveSource) => Promise<void>) => Promise<void>,
  directory: string,
  keystores: readonly string[],
): Promise<HostRoots> {
  if (existsSync(directory)) return readHostRoots(directory, keystores)
  const unfinished = `${directory}.${randomBytes(8).toString('hex')}`
  try {
    mkdirSync(unfinished, { recursive: true, mode: 0o700 })
    await open(source => copyTrust(source, unfinished, keystores))
    if (!existsSync(directory)) renameSync(unfinished, directory)
  } catch (error) {
    throw isClrkError(error) ? error : failed(directory, messageOf(error))
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return readHostRoots(directory, keystores)
}

async function copyTrust(source: ArchiveSource, root: string, keystores: readonly string[]): Promise<void> {
  const copy = createCopy(source, root)
  const certs = await copy.resolve(CERTS_DIRECTORY)
  if (certs !== null) await copy.all(certs)
  for (const path of [...BUNDLES, ...KEYSTORES, ...keystores]) {
    const [parent = '', rest] = path.split('/*/')
    // The API lists a directory by reading all of it: done for the one that holds Java runtimes and nothing else.
    if (rest !== undefined && parent !== JAVA_RUNTIMES) continue
    const names = rest === undefined ? [''] : await copy.names(parent)
    for (const name of names) {
      const real = await copy.resolve(rest === undefined ? path : join(parent, name, rest))
      if (real !== null) await copy.all(real)
    }
  }
}

/** What was copied so far. Every path below is absolute and inside the image. */
function createCopy(source: ArchiveSource, root: string) {
  const known = new Map<string, Kind | null>([['/', 'directory']])
  const links = new Map<string, string>()
  const copied = new Set<string>()
  let bytes = 0

  /** Takes note of what is at `path`, and makes directories and links, but no files. */
  async function look(path: string): Promise<Kind | null> {
    const before = known.get(path)
    if (before !== undefined) return before
    const kind = await source.kind(path)
    if (kind === 'directory') mkdirSync(join(root, path))
    if (kind === 'link') link(path, await source.target(path))
    known.set(path, kind)
    return kind
  }

  function link(path: string, target: string): void {
    links.set(path, target)
    symlinkSync(target, join(root, path))
  }

  const resolve = (path: string) => resolveInImage(path, look, at => links.get(at) ?? '')

  /** Copies a file, or a directory with everything in it. `path`: resolved. */
  async function all(path: string): Promise<void> {
    if (path === '/') throw failed(CERTS_DIRECTORY, 'it is the root of the image')
    if (known.get(path) === 'other' || copied.has(path)) return
    let entries = 0
    await readEntries(source, path, async (entry, at) => {
      entries += 1
      if (entries > LIMITS.trustEntries) throw failed(path, `it holds more than ${LIMITS.trustEntries} entries`)
      await keep(entry, at)
    })
  }

  async function keep(entry: Entry, at: (name: string) => string): Promise<void> {
    const path = at(entry.header.name)
    const { type, linkname, size, mode } = entry.header
    const parent = known.get(dirname(path))
    if (copied.has(path)) return
    // Never below what is no directory here, and nothing twice.
    if (parent !== 'directory') throw failed(path, 'the archive holds it in what is no directory')
    const isNew = !known.has(path)
    copied.add(path)
    if (type === 'directory') {
      if (isNew) mkdirSync(join(root, path))
      known.set(path, 'directory')
    } else if (type === 'symlink') {
      if (isNew) link(path, linkname)
      known.set(path, 'link')
    } else if (type === 'file') {
      known.set(path, 'file')
      if (size > LIMITS.trustFileBytes) return
      bytes += size
      if (bytes > LIMITS.trustImageBytes) throw failed(path, `all of it is more than ${LIMITS.trustImageBytes} bytes`)
      // Who may read it in the image decides whether it counts.
      const content = await buffer(entry)
      writeFileSync(join(root, path), content, { flag: 'wx', mode: 0o600 | (mode & 0o044) })
    } else if (type === 'link') {
      const first = at(linkname) // the same file by its earlier name
      if (!copied.has(first) || known.get(first) !== 'file') return
      known.set(path, 'file')
      linkSync(join(root, first), join(root, path))
    }
  }

  async function names(path: string): Promise<readonly string[]> {
    const real = await resolve(path)
    if (real === null || known.get(real) !== 'directory') return []
    const found = new Set<string>()
    await readEntries(source, real, async ({ header }, at) => {
      const name = at(header.name)
        .slice(real.length + 1)
        .split('/')[0]
      if (name) found.add(name)
    })
    return [...found]
  }

  return { resolve, all, names }
}

function failed(path: string, reason: string) {
  return clrkError('CLRK_TRUST_FAILED', { path, reason, fix: 'Mend the image.' })
}

const JAVA_RUNTIMES = '/usr/lib/jvm'
