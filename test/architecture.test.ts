/**
 * Data runs down the list of folders, and a folder imports only from folders above it; who meets hostile bytes has no
 * privileges, and who has them takes nothing from there but messages. A ban that nothing needs any more is a failure too.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import test from 'node:test'

const PURE = ['kernel', 'resources', 'providers', 'policy', 'secrets']
const SHARD = ['tls', 'http1', 'http2', 'dns', 'upstream', 'credentials', 'telemetry', 'proxy', 'shard']
const WORKER = ['pki', 'trust', 'plumbing', 'store', 'runtimes', 'worker', 'api', 'cli']
const ORDER = [...PURE, ...SHARD, ...WORKER]

/** Files that folders above them may import all the same, and why. */
const SEAMS: Readonly<Record<string, string>> = {
  'policy/policy.ts': 'types only: the vocabulary in which everything else is said',
  'shard/protocol.ts': 'types and constants only: the messages between the two halves',
}

/** A module, who may import it, and why nobody else. */
const BANS: readonly { readonly module: RegExp; readonly only: readonly string[]; readonly why: string }[] = [
  { module: /^koffi$/, only: ['kernel'], why: 'one place reads and writes foreign memory, and is reviewed for it' },
  {
    module: /^node:child_process$/,
    only: WORKER,
    why: 'a shard that was taken over must find no code that starts programs',
  },
  {
    module: /^node-forge$/,
    only: ['pki', 'trust'],
    why: 'a shard never makes a certificate: the CA key stays with the worker',
  },
  { module: /^dns-packet$/, only: ['dns'], why: 'DNS bytes are parsed in one place' },
  {
    module: /^zod$/,
    only: ['resources', 'api', 'store', 'cli'],
    why: 'schemas stand at the edges; inside, types are enough',
  },
  {
    module: /^node:(fs|fs\/promises|net|tls|dgram|http|https|http2|dns|dns\/promises)$/,
    only: ['kernel', ...SHARD, ...WORKER],
    why: 'deciding is pure: it can be tested without a socket, a file or root',
  },
]

const SOURCES = files(join(import.meta.dirname, '../src'))

test('every folder of src has its place in the order', () => {
  const folders = new Set(SOURCES.map(({ folder }) => folder).filter(folder => folder !== ''))
  assert.deepEqual(
    [...folders].filter(folder => !ORDER.includes(folder)),
    [],
  )
})

test('a folder imports only from folders above it', () => {
  const wrong = imports().filter(({ folder, target }) => {
    const to = dirname(target)
    if (to === '.' || to === folder || target in SEAMS) return false
    return folder === '' || ORDER.indexOf(to) >= ORDER.indexOf(folder)
  })
  assert.deepEqual(wrong.map(show), [])
})

test('the worker half takes from the shard half its messages only', () => {
  const wrong = imports().filter(
    ({ folder, target }) =>
      WORKER.includes(folder) && SHARD.includes(dirname(target)) && target !== 'shard/protocol.ts',
  )
  assert.deepEqual(wrong.map(show), [])
})

test('each seam is needed, and runs nothing', () => {
  for (const seam of Object.keys(SEAMS)) {
    assert.ok(
      imports().some(({ folder, target }) => target === seam && ORDER.indexOf(folder) < ORDER.indexOf(dirname(seam))),
      `nobody above imports ${seam}: delete the exception`,
    )
    const text = SOURCES.find(({ path }) => path === seam)?.text ?? ''
    assert.doesNotMatch(text, /\bfunction\b|=>|^import (?!type)/m, `${seam} has more than types and constants`)
  }
})

for (const { module, only, why } of BANS) {
  test(`${module.source} is imported by ${only.length > 4 ? 'its half' : only.join(', ')} only: ${why}`, () => {
    const users = SOURCES.filter(({ modules }) => modules.some(name => module.test(name)))
    assert.deepEqual(
      users.filter(({ folder }) => !only.includes(folder)).map(({ path }) => path),
      [],
    )
    assert.ok(users.length > 0, 'nobody imports it: delete the ban')
  })
}

test('a file has one subject: 400 lines at most', () => {
  const long = [...SOURCES, ...files(import.meta.dirname)].filter(({ text }) => text.split('\n').length > 401)
  assert.deepEqual(
    long.map(({ path }) => path),
    [],
  )
})

type Source = {
  /** Relative to its root. */
  readonly path: string
  /** '' for a file at the root. */
  readonly folder: string
  readonly text: string
  readonly modules: readonly string[]
}

function files(root: string): readonly Source[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .map(path => {
      const text = readFileSync(join(root, path), 'utf8')
      const modules = [...text.matchAll(/^(?:import|export)\b[^'"]*?['"]([^'"]+)['"]|\bimport\(['"]([^'"]+)['"]\)/gm)]
      const folder = dirname(path).split('/')[0] ?? ''
      return {
        path,
        folder: folder === '.' ? '' : folder,
        text,
        modules: modules.map(found => found[1] ?? found[2] ?? ''),
      }
    })
}

/** Every import of one file of src by another. */
function imports(): readonly { readonly path: string; readonly folder: string; readonly target: string }[] {
  return SOURCES.flatMap(({ path, folder, modules }) =>
    modules
      .filter(name => name.startsWith('.'))
      .map(name => ({ path, folder, target: relative('/', join('/', dirname(path), name)) })),
  )
}

function show({ path, target }: { readonly path: string; readonly target: string }): string {
  return `${path} imports ${target}`
}
