/**
 * The code of a shard as V8 compiled it once, without types: a shard that finds it starts in a third of the time, and
 * without the type stripper it takes a third less memory (docs/performance.md). The worker makes it, beside the code and
 * thus with the code's own owner; a shard sees it read-only. Node's documentation: module.enableCompileCache.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where a shard finds its cache. */
export const CODE_CACHE = '/var/cache/clrk'

export type CodeCache = {
  readonly directory: string
  /** The name below CODE_CACHE where Node looks as that uid: its version, processor, build and the uid. */
  readonly nameFor: (uid: number) => string
}

/**
 * The cache of the shard in `code` (src, or dist/src), made where it is not there yet or of other code: some 300 ms.
 * Null where the launcher named no place for it, or nothing can be written there: all works without.
 */
export function shardCodeCache(node: string, flags: readonly string[], code: string, warm: string): CodeCache | null {
  const place = process.env.NODE_COMPILE_CACHE
  if (place === undefined) return null
  const base = join(place, 'shard')
  const made = `made-for-${digestOf(code)}`
  const known = taggedDirectory(base)
  if (known === null || !existsSync(join(known, made))) {
    // As the shards' own flags: V8 takes nothing that was compiled under others.
    execFileSync(node, [...flags, warm], { env: { NODE_COMPILE_CACHE: base }, stdio: 'ignore', cwd: '/' })
  }
  const directory = taggedDirectory(base)
  if (directory === null) return null
  if (!existsSync(join(directory, made))) {
    // Node keeps them for their maker alone; nothing is in them but this code.
    for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o644)
    writeFileSync(join(directory, made), '')
  }
  const tag = directory.slice(base.length + 1).replace(/-\d+$/, '')
  return { directory, nameFor: uid => `${tag}-${uid}` }
}

function taggedDirectory(base: string): string | null {
  if (!existsSync(base)) return null
  const own = readdirSync(base).find(
    name => name.startsWith(`${process.version}-`) && name.endsWith(`-${process.getuid?.()}`),
  )
  return own === undefined ? null : join(base, own)
}

function digestOf(code: string): string {
  const hash = createHash('sha256')
  for (const entry of readdirSync(code, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!/\.[jt]s$/.test(entry)) continue
    const { mtimeMs, size } = statSync(join(code, entry))
    hash.update(`${entry} ${mtimeMs} ${size}\n`)
  }
  return hash.digest('hex').slice(0, 16)
}
