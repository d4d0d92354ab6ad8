/** Single files of an image, read by the archive API: where a path leads, whose it is, what is in it. Runs nothing. */
import { dirname, join } from 'node:path/posix'
import { type ArchiveSource, type Kind, readEntries, resolveInImage } from '../trust/image-walk.ts'
import { HEAD_BYTES, type ProgramHead, readProgramHead } from './program-head.ts'

export type FoundFile = {
  /** Where it really is, inside the image. */
  readonly path: string
  readonly kind: Kind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Its first `HEAD_BYTES`; empty for what is no file. */
  readonly head: Buffer
}

/** Who asks; without capabilities, so that root, too, passes only where the mode lets it. */
export type Identity = { readonly uid: number; readonly groups: readonly number[] }

/** `missing`: what it needs in turn and does not find. */
export type ProgramState =
  | { readonly state: 'runs'; readonly path: string; readonly head: ProgramHead }
  | { readonly state: 'absent' }
  | { readonly state: 'not for this user' | 'for another machine'; readonly path: string }
  | { readonly state: 'cannot start'; readonly path: string; readonly missing: string }

export type ImageFiles = {
  /** Follows links inside the image; null where they lead nowhere. `path`: absolute. */
  readonly find: (path: string) => Promise<FoundFile | null>
  /** The text of a small file (`HEAD_BYTES`); null where there is none. */
  readonly text: (path: string) => Promise<string | null>
  /** Can `who` start `name` as execvp(3) does? `path`: directories parted by colons. */
  readonly program: (name: string, options: ProgramSearch) => Promise<ProgramState>
}

export type ProgramSearch = { readonly who: Identity; readonly path: string; readonly directory: string }

export function createImageFiles(source: ArchiveSource): ImageFiles {
  const entries = new Map<string, Promise<Omit<FoundFile, 'path' | 'kind'>>>()
  const kinds = new Map<string, Promise<Kind | null>>([['/', Promise.resolve('directory')]])

  /** One request a path: an engine mounts the image for each. */
  function remember<T>(known: Map<string, Promise<T>>, path: string, ask: (path: string) => Promise<T>): Promise<T> {
    const found = known.get(path) ?? ask(path)
    known.set(path, found)
    return found
  }
  const kindOf = (path: string) => remember(kinds, path, source.kind)
  const entryOf = (path: string) => remember(entries, path, path => firstEntry(source, path))

  async function find(path: string): Promise<FoundFile | null> {
    const real = await resolveInImage(path, kindOf, source.target)
    const kind = real === null ? null : await kindOf(real)
    if (real === null || kind === null) return null
    const { mode, uid, gid, head } = await entryOf(real)
    return { path: real, kind, mode, uid, gid, head }
  }

  async function passes(path: string, who: Identity): Promise<boolean> {
    for (let at = dirname(path); at !== '/'; at = dirname(at)) {
      const directory = await find(at)
      if (directory === null || !allows(directory, who, EXECUTE)) return false
    }
    return true
  }

  async function program(name: string, search: ProgramSearch): Promise<ProgramState> {
    const { who, path, directory } = search
    const places = name.includes('/') ? [directory] : path.split(':').map(place => place || directory)
    let refused: ProgramState = { state: 'absent' }
    for (const place of places) {
      const wanted = name.startsWith('/') ? name : join('/', place, name)
      const file = await find(wanted)
      if (file === null) continue
      // What leads to it may be closed although it itself lies open, and the other way round.
      const reaches = (await passes(wanted, who)) && (await passes(file.path, who))
      if (file.kind === 'file' && reaches && allows(file, who, EXECUTE)) return started(file, search)
      if (refused.state === 'absent') refused = { state: 'not for this user', path: wanted }
    }
    return refused
  }

  async function started({ path, head: bytes }: FoundFile, search: ProgramSearch): Promise<ProgramState> {
    const head = readProgramHead(bytes)
    if (head.kind === 'elf' && head.machine !== process.arch) return { state: 'for another machine', path }
    const needed = head.kind === 'elf' ? head.interpreter : head.kind === 'script' ? (head.words[0] ?? '') : null
    if (needed !== null && (await find(join('/', needed))) === null) {
      return { state: 'cannot start', path, missing: needed }
    }
    const [env = '', inner = ''] = head.kind === 'script' ? head.words : []
    if (env.endsWith('/env') && /^\w/.test(inner) && (await program(inner, search)).state !== 'runs') {
      return { state: 'cannot start', path, missing: inner }
    }
    return { state: 'runs', path, head }
  }

  return {
    find,
    text: async path => {
      const file = await find(path)
      return file?.kind === 'file' ? file.head.toString('latin1') : null
    },
    program,
  }
}

/** May `who` do what `bit` says (1 execute or pass, 2 write, 4 read), without any capability? */
export function allows({ mode, uid, gid }: Pick<FoundFile, 'mode' | 'uid' | 'gid'>, who: Identity, bit: number) {
  const shift = uid === who.uid ? 6 : who.groups.includes(gid) ? 3 : 0
  return ((mode >> shift) & bit) !== 0
}

async function firstEntry(source: ArchiveSource, path: string) {
  const nothing = { mode: 0, uid: 0, gid: 0, head: Buffer.alloc(0) }
  let found = nothing
  await readEntries(source, path, async entry => {
    const { mode = 0, uid = 0, gid = 0 } = entry.header
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of entry as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      if (length >= HEAD_BYTES) break
    }
    found = { mode, uid, gid, head: Buffer.concat(chunks).subarray(0, HEAD_BYTES) }
    return 'enough'
  })
  return found
}

const EXECUTE = 1
