/**
 * Which host paths make the programs on a caller's PATH work inside: the PATH directories that are not system ones, and
 * the version that their links and `#!` lines lead to. Never a whole home, ~/.local, ~/.cargo or ~/.config, never a
 * file that holds credentials. Pure: the file system is asked through `HostFiles`.
 */
import { posix } from 'node:path'
import { isCredentialPath } from './credential-files.ts'
import { type HostFiles, isWithin, resolveLinks } from './host-files.ts'

export type ToolPaths = {
  /** Shown read-only at their own path, for `SandboxSpec.readOnly`; a link is shown as the link that it is. */
  readonly readOnly: readonly string[]
  /** PATH inside: without links, and without entries that are relative, missing, or the home itself. */
  readonly path: string
}

export function toolsOnPath(
  files: HostFiles,
  caller: { readonly path: string; readonly home: string; readonly workspace: string | null },
): ToolPaths {
  const home = resolveLinks(files, caller.home).target
  const workspace = caller.workspace === null ? null : resolveLinks(files, caller.workspace).target
  const search = createSearch(files, home, workspace)
  const directories = new Set<string>()
  for (const entry of caller.path.split(':').filter(it => it.startsWith('/'))) {
    const directory = resolveLinks(files, entry).target
    if (directories.has(directory) || files.kind(directory) !== 'directory') continue
    const isWritable = workspace !== null && isWithin(directory, workspace)
    if (isSystem(directory)) search.followLocalLinks(directory)
    else if (isWritable) search.followAll(directory, 'versions only')
    else if (!search.showDirectory(directory)) continue
    directories.add(directory)
  }
  return { readOnly: search.shown(), path: [...directories].join(':') }
}

/** `versions only`: an agent may have planted the link, so it leads to an installed version or to nothing. */
type Trust = 'anything' | 'versions only'

function createSearch(files: HostFiles, home: string, workspace: string | null) {
  const shown = new Set<string>()
  const exists = (path: string) => files.kind(path) !== null
  const covered = (path: string) =>
    isSystem(path) || [...shown, ...(workspace === null ? [] : [workspace])].some(other => isWithin(path, other))

  /** Adds `path` unless it may not be shown; false in that case. */
  function show(path: string): boolean {
    if (isBroad(path, home) || isCredentialPath(path, home)) return false
    if (!covered(path)) shown.add(path)
    return true
  }

  function showDirectory(directory: string): boolean {
    const root = posix.basename(directory) === 'shims' ? null : versionRoot(files, directory, home)
    if (root === null) for (const path of siblings(files, directory, home).filter(exists)) show(path)
    if (!show(root ?? directory)) return false
    followAll(directory, 'anything')
    if (directory === posix.join(home, '.local/bin')) showUserPackages()
    return true
  }

  function followAll(directory: string, trust: Trust): void {
    for (const name of files.list(directory).slice(0, MAXIMUM_ENTRIES)) follow(posix.join(directory, name), trust)
  }

  function followLocalLinks(directory: string): void {
    if (/^\/(usr\/local|opt)\//.test(directory)) {
      for (const name of files.list(directory)) {
        const program = posix.join(directory, name)
        if (files.kind(program) === 'link') showTarget(program, 'anything')
      }
    }
  }

  /** Shows what one program of a PATH directory needs beside itself. */
  function follow(program: string, trust: Trust): void {
    const kind = files.kind(program)
    if (kind === 'link') showTarget(program, trust)
    if (kind !== 'file') return
    const interpreter = /^#!\s*(\/\S+)/.exec(files.firstLine(program))?.[1]
    if (interpreter !== undefined) showTarget(interpreter, trust)
  }

  function showTarget(path: string, trust: Trust): void {
    const { target, links } = resolveLinks(files, path)
    if (!exists(target) || isBroad(target, home) || isCredentialPath(target, home)) return
    const root = trust === 'anything' ? packageRoot(files, target, home) : versionRoot(files, target, home)
    if (!covered(target) && root === null && (trust === 'versions only' || !files.isExecutable(target))) return
    // A link on the way (uv's cpython-3.12 → cpython-3.12.7) has to be there as well, and may lie in another version.
    for (const link of links) if (!covered(link)) showVersion(versionRoot(files, link, home) ?? link, trust)
    if (!covered(target)) showVersion(root ?? target, trust)
  }

  function showVersion(root: string, trust: Trust): void {
    if (show(root) && exists(posix.join(root, 'pyvenv.cfg'))) showTarget(posix.join(root, 'bin/python3'), trust)
  }

  /** Where `pip install --user` puts what the scripts in ~/.local/bin import. */
  function showUserPackages(): void {
    const libraries = posix.join(home, '.local/lib')
    for (const name of files.list(libraries)) {
      const packages = posix.join(libraries, name, 'site-packages')
      if (/^python\d/.test(name) && exists(packages)) show(packages)
    }
  }

  return { showDirectory, followAll, followLocalLinks, shown: () => outermost([...shown]) }
}

/** Managers whose PATH directory is of no use without others beside it. */
function siblings(files: HostFiles, directory: string, home: string): readonly string[] {
  for (let root = directory; !isWithin(home, root); root = posix.dirname(root)) {
    for (const { marks, show } of LAYOUTS) {
      if (!marks.every(mark => files.kind(posix.join(root, mark)) !== null)) continue
      return show.map(name => posix.join(root, name))
    }
    if (posix.basename(root) === '.cargo') {
      return [
        posix.join(root, 'bin'),
        ...['.rustup/toolchains', '.rustup/settings.toml'].map(it => posix.join(home, it)),
      ]
    }
  }
  return []
}

/**
 * The installed version that `path` is part of: the nearest directory above with `bin` and what goes with it. A
 * repository that somebody works in is none.
 */
function versionRoot(files: HostFiles, path: string, home: string): string | null {
  for (let root = posix.dirname(path); !isBroad(root, home); root = posix.dirname(root)) {
    const has = (name: string) => files.kind(posix.join(root, name)) !== null
    if (has('.git')) return null
    if (has('bin') && VERSION_MARKS.some(has) && !isCredentialPath(root, home)) return root
  }
  return null
}

function packageRoot(files: HostFiles, path: string, home: string): string | null {
  const modules = /^.*?\/node_modules(?=\/)/.exec(path)?.[0]
  if (modules !== undefined) return modules
  const version = versionRoot(files, path, home)
  if (version !== null) return version
  // A release unpacked in a directory of its own: ~/.local/share/NAME/versions/1.2/NAME
  const parent = posix.dirname(path)
  const own = posix.relative(posix.join(home, '.local/share'), parent)
  const isRelease = (own !== '' && !own.startsWith('..')) || /\/(versions?|releases|installs)\//.test(path)
  return isRelease && !isBroad(parent, home) ? parent : null
}

/** Too much to show for the sake of one program: the home, what holds it, other homes, and ~/.anything as a whole. */
function isBroad(path: string, home: string): boolean {
  if (isWithin(home, path) || /^\/([^/]+|home\/[^/]+)$/.test(path)) return true
  const below = posix.relative(home, path)
  return /^\.[^./][^/]*$/.test(below) || ['.local/share', '.local/lib', '.local/state', 'go'].includes(below)
}

function isSystem(path: string): boolean {
  return /^\/(usr|bin|sbin|lib[a-z0-9]*|etc|opt)(\/|$)/.test(path)
}

function outermost(paths: readonly string[]): readonly string[] {
  return paths.filter(path => !paths.some(other => other !== path && isWithin(path, other))).sort()
}

const MAXIMUM_ENTRIES = 2_000
const VERSION_MARKS = ['lib', 'lib64', 'libexec', 'share', 'include', 'pkg', 'pyvenv.cfg', 'conda-meta', 'release']
const LAYOUTS = [
  {
    marks: ['libexec/pyenv'],
    show: ['bin', 'libexec', 'plugins', 'pyenv.d', 'shims', 'version', 'versions'],
  },
  { marks: ['libexec/rbenv'], show: ['bin', 'libexec', 'plugins', 'rbenv.d', 'shims', 'version', 'versions'] },
  { marks: ['libexec/nodenv'], show: ['bin', 'libexec', 'plugins', 'nodenv.d', 'shims', 'version', 'versions'] },
  // asdf, mise
  { marks: ['shims', 'installs'], show: ['asdf.sh', 'bin', 'lib', 'libexec', 'installs', 'plugins', 'shims'] },
  { marks: ['bin/volta', 'tools'], show: ['bin', 'tools'] },
] as const
