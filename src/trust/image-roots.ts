/**
 * Reads the trust store of a root file system: the host's own for the local runtime, an image's unpacked one for the
 * others. Every path is resolved inside that root, links included, as the sandbox itself would see it (T118); nothing
 * is written and nothing in it is run.
 */
import * as fs from 'node:fs'
import { join } from 'node:path/posix'
import { clrkError, isClrkError, messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'

export type BundleFile = {
  /** Every well-known path that leads to it, in the order of `BUNDLES`. */
  readonly paths: readonly string[]
  /** Where it really is, inside the root. */
  readonly realPath: string
  readonly pem: string
}

export type Keystore = { readonly realPath: string; readonly bytes: Buffer }

/** One entry below the certs directory, `path` relative to it; parents come before what they hold. */
export type CertsEntry =
  | { readonly path: string; readonly kind: 'directory' }
  | { readonly path: string; readonly kind: 'link'; readonly target: string }
  | { readonly path: string; readonly kind: 'file'; readonly bytes: Buffer }

export type HostRoots = {
  /** The best-known first. */
  readonly bundles: readonly BundleFile[]
  /** What `/etc/ssl/certs` is; null where there is none. */
  readonly certs: { readonly realPath: string; readonly entries: readonly CertsEntry[] } | null
  /** Java keystores, whatever their format. */
  readonly keystores: readonly Keystore[]
}

/**
 * What `root` trusts now. Files that are not regular, not readable by everyone or larger than `LIMITS.trustFileBytes`
 * are left out: the sandbox could not use the first two, and a private key beside the certificates must not become
 * readable. Throws CLRK_TRUST_FAILED where reading itself fails, or past `LIMITS.trustEntries`.
 * `keystores`: paths inside to look for beside the well-known ones.
 */
export function readHostRoots(root = '/', keystores: readonly string[] = []): HostRoots {
  try {
    return {
      bundles: readBundles(root),
      certs: readCertsDirectory(root),
      keystores: readKeystores(root, [...KEYSTORES, ...keystores]),
    }
  } catch (error) {
    throw isClrkError(error) ? error : failed(root, messageOf(error))
  }
}

/**
 * Where `path` really leads inside `root`, as a path inside it; null if nowhere. Absolute links start at `root` again
 * and `..` stops there (the semantics of openat2's RESOLVE_IN_ROOT). The tree must not change meanwhile.
 */
export function resolveInside(root: string, path: string): string | null {
  let remaining = path.split('/')
  let resolved: string[] = []
  let links = 0
  while (remaining.length > 0) {
    const [component = '', ...rest] = remaining
    remaining = rest
    if (component === '' || component === '.') continue
    if (component === '..') {
      resolved = resolved.slice(0, -1)
      continue
    }
    const inside = `/${[...resolved, component].join('/')}`
    const stat = fs.lstatSync(join(root, inside), { throwIfNoEntry: false })
    if (stat === undefined) return null
    if (!stat.isSymbolicLink()) {
      if (!stat.isDirectory() && remaining.some(part => part !== '' && part !== '.')) return null
      resolved.push(component)
      continue
    }
    links += 1
    if (links > 40) return null // as the kernel (ELOOP)
    const target = fs.readlinkSync(join(root, inside))
    if (target.startsWith('/')) resolved = []
    remaining = [...target.split('/'), ...remaining]
  }
  return `/${resolved.join('/')}`
}

function readBundles(root: string): readonly BundleFile[] {
  const bundles = new Map<string, { paths: string[]; realPath: string; pem: string }>()
  for (const path of BUNDLES) {
    const realPath = resolveInside(root, path)
    if (realPath === null) continue
    const known = bundles.get(realPath)
    if (known !== undefined) {
      known.paths.push(path)
      continue
    }
    const bytes = readPublicFile(root, realPath)
    if (bytes !== null) bundles.set(realPath, { paths: [path], realPath, pem: bytes.toString('latin1') })
  }
  return [...bundles.values()]
}

function readCertsDirectory(root: string): HostRoots['certs'] {
  const realPath = resolveInside(root, CERTS_DIRECTORY)
  if (realPath === null || !isDirectory(root, realPath)) return null
  return { realPath, entries: readEntries(root, realPath) }
}

function readKeystores(root: string, patterns: readonly string[]): readonly Keystore[] {
  const found = new Map<string, Keystore>()
  const candidates = patterns.flatMap(pattern => {
    const [parent = '', rest] = pattern.split('/*/')
    if (rest === undefined) return [pattern]
    const real = resolveInside(root, parent)
    if (real === null || !isDirectory(root, real)) return []
    return fs.readdirSync(join(root, real)).map(name => join(real, name, rest))
  })
  for (const candidate of candidates) {
    const realPath = resolveInside(root, candidate)
    if (realPath === null || found.has(realPath)) continue
    const bytes = readPublicFile(root, realPath)
    if (bytes !== null) found.set(realPath, { realPath, bytes })
  }
  return [...found.values()]
}

function readEntries(root: string, directory: string): readonly CertsEntry[] {
  const entries: CertsEntry[] = []
  const walk = (below: string): void => {
    for (const name of fs.readdirSync(join(root, directory, below)).sort()) {
      const path = join(below, name)
      if (entries.length >= LIMITS.trustEntries) {
        throw failed(directory, `it holds more than ${LIMITS.trustEntries} entries`)
      }
      const stat = fs.lstatSync(join(root, directory, path))
      if (stat.isSymbolicLink()) {
        entries.push({ path, kind: 'link', target: fs.readlinkSync(join(root, directory, path)) })
      } else if (stat.isDirectory()) {
        entries.push({ path, kind: 'directory' })
        walk(path)
      } else {
        const bytes = readPublicFile(root, join(directory, path))
        if (bytes !== null) entries.push({ path, kind: 'file', bytes })
      }
    }
  }
  walk('')
  return entries
}

function isDirectory(root: string, realPath: string): boolean {
  return fs.lstatSync(join(root, realPath)).isDirectory()
}

/** `realPath` holds no links any more (`resolveInside`). */
function readPublicFile(root: string, realPath: string): Buffer | null {
  const path = join(root, realPath)
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
  // A FIFO or a device is not even opened: opening one can have effects.
  if (!fs.lstatSync(path).isFile()) return null
  const descriptor = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const stat = fs.fstatSync(descriptor)
    const usable = stat.isFile() && (stat.mode & 0o004) !== 0 && stat.size <= LIMITS.trustFileBytes
    return usable ? fs.readFileSync(descriptor) : null
  } finally {
    fs.closeSync(descriptor)
  }
}

function failed(path: string, reason: string) {
  return clrkError('CLRK_TRUST_FAILED', { path, reason, fix: 'Mend or remove it.' })
}

export const CERTS_DIRECTORY = '/etc/ssl/certs'

/** Where distributions keep the bundle; several are links to one file. */
export const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt', // Debian, Ubuntu, Alpine, Arch
  '/etc/pki/tls/certs/ca-bundle.crt', // RHEL, Fedora
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem', // what the former is a link to
  '/etc/ssl/ca-bundle.pem', // SUSE
  '/var/lib/ca-certificates/ca-bundle.pem', // what the former is a link to
  '/etc/ssl/certs/ca-bundle.crt', // newer Fedora
  '/etc/pki/tls/cert.pem', // OpenSSL on RHEL
  '/etc/ssl/cert.pem', // LibreSSL and OpenSSL on Alpine
  '/usr/lib/ssl/cert.pem', // OpenSSL on Debian
] as const

export const KEYSTORES = [
  '/etc/ssl/certs/java/cacerts', // Debian; JDKs of its packages link to it
  '/etc/pki/ca-trust/extracted/java/cacerts', // RHEL
  '/var/lib/ca-certificates/java-cacerts', // SUSE
  '/usr/lib/jvm/*/lib/security/cacerts',
  '/usr/lib/jvm/*/jre/lib/security/cacerts', // Java 8
  '/opt/*/lib/security/cacerts',
] as const
