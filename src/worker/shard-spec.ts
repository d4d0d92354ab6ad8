/**
 * How a shard is started, as data: its own uid without capabilities, no_new_privs, in a mount namespace that holds
 * only Node, clrk's code, and the resolver's files, read-only. It keeps the host's network namespace: it dials.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CODE_CACHE, type CodeCache, shardCodeCache } from './code-cache.ts'

/**
 * Node flags of a shard: no signal opens an inspector on the host's loopback, for whom every secret would be in reach;
 * GC on the shard's own core, for a pause-free p99 (MEASUREMENTS.md §2, §6), and by hand while bodies stream
 * (src/http1/young-garbage.ts).
 */
export const FLAGS = [
  ...['--disable-sigusr1', '--disable-warning=ExperimentalWarning'],
  ...['--single-threaded-gc', '--max-semi-space-size=16', '--expose-gc', '--v8-pool-size=1'],
]

/** Packages that the shard half imports; their own dependencies follow. */
const PACKAGES = ['koffi', 'dns-packet'] as const

/** What getaddrinfo reads. */
const RESOLVER_FILES = [
  '/etc/resolv.conf',
  '/etc/hosts',
  '/etc/nsswitch.conf',
  '/etc/gai.conf',
  '/etc/host.conf',
] as const

export type ShardFiles = {
  readonly node: string
  readonly entry: string
  /** Real paths shown at themselves. */
  readonly readOnly: readonly string[]
  /** ELF interpreters: path inside → real file. */
  readonly interpreters: readonly (readonly [inside: string, source: string])[]
  readonly codeCache: CodeCache | null
}

/** The argv of one shard. `entry` runs with descriptor 3 as its descriptor channel and an IPC channel. */
export function shardArgv(files: ShardFiles, uid: number): readonly string[] {
  const { codeCache } = files
  const cache = codeCache === null ? [] : [[codeCache.directory, join(CODE_CACHE, codeCache.nameFor(uid))] as const]
  const shown = [
    ...files.readOnly,
    ...files.interpreters.map(([inside]) => inside),
    ...cache.map(([, inside]) => inside),
  ]
  return [
    'bwrap',
    '--die-with-parent',
    '--unshare-ipc',
    '--unshare-uts',
    // bwrap would make these for its own uid alone
    ...parents(shown).flatMap(path => ['--perms', '0755', '--dir', path]),
    ...files.readOnly.flatMap(path => ['--ro-bind', path, path]),
    ...files.interpreters.flatMap(([inside, source]) => ['--ro-bind', source, inside]),
    ...cache.flatMap(([source, inside]) => ['--ro-bind', source, inside]),
    ...RESOLVER_FILES.flatMap(path => ['--ro-bind-try', path, path]),
    '--dev',
    '/dev',
    '--chdir',
    '/',
    ...['SETUID', 'SETGID', 'SETPCAP'].flatMap(name => ['--cap-add', `CAP_${name}`]),
    '--',
    '/usr/bin/setpriv',
    `--reuid=${uid}`,
    `--regid=${uid}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--ambient-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--pdeathsig=KILL',
    files.node,
    ...FLAGS,
    files.entry,
  ]
}

function parents(paths: readonly string[]): readonly string[] {
  const all = new Set<string>(['/etc'])
  for (const path of paths) for (let at = dirname(path); at !== '/'; at = dirname(at)) all.add(at)
  return [...all].sort()
}

/** Looks at this installation once: Node's libraries, clrk's code, the packages it needs. */
export function shardFiles(): ShardFiles {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const entry = fileURLToPath(new URL(`../shard/main.${extension}`, import.meta.url))
  const warm = fileURLToPath(new URL(`../shard/warm.${extension}`, import.meta.url))
  const code = dirname(dirname(entry)) // src, or dist/src
  const manifest = [dirname(code), dirname(dirname(code))].map(d => join(d, 'package.json')).find(existsSync)
  const node = realpathSync(process.execPath)
  const libraries = [...librariesOf(node), ...librariesOf('/usr/bin/setpriv')]
  const interpreters = libraries.filter(path => /\/ld-[^/]*\.so[^/]*$|\/ld-musl[^/]*$/.test(path))
  const readOnly = new Set([
    node,
    '/usr/bin/setpriv',
    code,
    ...(manifest === undefined ? [] : [manifest]),
    ...packageDirectories(code, PACKAGES),
    ...libraries.filter(path => !interpreters.includes(path)),
  ])
  return {
    node,
    entry,
    readOnly: [...readOnly].filter(path => existsSync(path)),
    interpreters: [...new Set(interpreters)].map(path => [path, realpathSync(path)] as const),
    codeCache: shardCodeCache(node, FLAGS, code, warm),
  }
}

/** Shared libraries and the ELF interpreter of a program, as the loader names them. */
function librariesOf(program: string): readonly string[] {
  const output = execFileSync('/usr/bin/ldd', [program], { encoding: 'utf8', env: {} })
  return output
    .split('\n')
    .map(line => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1])
    .filter(path => path !== undefined)
}

/** Where Node would find `names` and all that they depend on, starting from `from`. */
function packageDirectories(from: string, names: readonly string[]): readonly string[] {
  const found = new Set<string>()
  const visit = (name: string, start: string) => {
    const directory = findPackage(name, start)
    if (directory === null || found.has(directory)) return
    found.add(directory)
    const { dependencies = {}, optionalDependencies = {} } = readManifest(directory)
    for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies })) visit(dependency, directory)
  }
  for (const name of names) visit(name, from)
  return [...found]
}

function findPackage(name: string, start: string): string | null {
  for (let at = start; ; at = dirname(at)) {
    const candidate = join(at, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return candidate
    if (at === dirname(at)) return null
  }
}

function readManifest(directory: string): {
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
} {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
}
