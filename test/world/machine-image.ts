/**
 * An image of this machine's own programs: what an agent may call on the local runtime, it may call in an image too, so
 * that one test serves both.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { type Engine, importArchive } from './engine.ts'

/** With a host and this tag: Podman wants the one and gives no other. */
export const MACHINE_IMAGE = 'localhost/machine:latest'

/** Imports MACHINE_IMAGE where the engine does not have it. */
export async function importMachineImage(engine: Engine): Promise<void> {
  const isThere = await engine.docker
    .getImage(MACHINE_IMAGE)
    .inspect()
    .then(Boolean, () => false)
  if (isThere) return
  const own = mkdtempSync(join(tmpdir(), 'machine-image-'))
  try {
    writeOwnFiles(own)
    const tar = spawn('tar', [
      ...['--create', '--file=-', '--directory=/', '--exclude=__pycache__', '--exclude=python3.*/test'],
      ...[`--transform=s,^${process.execPath.slice(1)}$,usr/local/bin/node,`, '--files-from=-'],
      ...[`--directory=${own}`, '.'],
    ])
    tar.stdin.end(
      machineFiles()
        .map(path => `${path.slice(1)}\n`)
        .join(''),
    )
    tar.stderr.pipe(process.stderr)
    await importArchive(engine, MACHINE_IMAGE, tar.stdout, [
      'ENV PATH=/usr/local/bin:/usr/bin:/usr/sbin',
      'ENV LANG=C.UTF-8',
    ])
  } finally {
    rmSync(own, { recursive: true })
  }
}

/** Programs with what they are linked with and load, at their real paths; a link and what it leads to. */
function machineFiles(): readonly string[] {
  const programs = [...PROGRAMS.flatMap(findProgram), ...GIT]
  const extensions = below(`${PYTHON}/lib-dynload`)
  const loaded = [...programs, ...extensions, process.execPath].flatMap(libraries)
  const all = [...programs, ...loaded, ...EXTRAS, ...PACKAGES, PYTHON].filter(path => existsSync(path))
  return [...new Set(all.flatMap(withTargets)), process.execPath]
}

function findProgram(name: string): readonly string[] {
  const found = ['/usr/bin', '/usr/sbin'].map(directory => join(directory, name)).find(path => existsSync(path))
  if (found === undefined) throw new Error(`${name} is missing: sh src/setup.sh test`)
  return [found]
}

function libraries(program: string): readonly string[] {
  try {
    const text = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return text.match(/\/\S+(?= \(0x)/g) ?? []
  } catch {
    return [] // a script
  }
}

/** The path in its real directory; of a link also what follows. */
function withTargets(path: string): readonly string[] {
  const real = join(realpathSync(dirname(path)), basename(path))
  return lstatSync(real).isSymbolicLink() ? [real, realpathSync(real)] : [real]
}

function below(directory: string): readonly string[] {
  return readdirSync(directory).map(name => join(directory, name))
}

/** What an image has of its own: people, directories, and links for a merged /usr. */
function writeOwnFiles(root: string): void {
  for (const name of ['etc', 'tmp', 'root', 'agent', 'var', 'var/tmp', 'proc', 'sys', 'dev'])
    mkdirSync(join(root, name))
  for (const name of ['bin', 'sbin', 'lib', 'lib64'])
    if (existsSync(`/usr/${name}`)) symlinkSync(`usr/${name}`, join(root, name))
  const files = {
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/agent:/bin/sh\n',
    'etc/group': 'root:x:0:\nagent:x:1000:\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text)
  execFileSync('chmod', ['-R', 'a+rX', root])
  execFileSync('chmod', ['1777', join(root, 'tmp'), join(root, 'var/tmp')])
  execFileSync('chown', ['1000:1000', join(root, 'agent')])
}

const PROGRAMS = [
  ...['bash', 'cat', 'chmod', 'cp', 'curl', 'date', 'dash', 'dd', 'echo', 'env', 'false', 'git', 'grep', 'head', 'id'],
  ...[
    'ip',
    'iptables',
    'kill',
    'ln',
    'ls',
    'mkdir',
    'mount',
    'mv',
    'nft',
    'nsenter',
    'ps',
    'pwd',
    'python3',
    'rm',
    'sed',
  ],
  ...[
    'seq',
    'sh',
    'sleep',
    'sort',
    'stat',
    'stty',
    'tail',
    'test',
    'touch',
    'tr',
    'true',
    'tty',
    'uname',
    'unshare',
    'wc',
  ],
  ...['wget', 'yes'],
]
const GIT = ['git', 'git-remote-https', 'git-remote-http'].map(name => `/usr/lib/git-core/${name}`)
const PYTHON = dirname(realpathSync(`/usr/lib/python3/../${basename(realpathSync('/usr/bin/python3'))}/os.py`))
const PACKAGES = [
  'requests',
  'urllib3',
  'certifi',
  'chardet',
  'charset_normalizer',
  'idna',
  'six.py',
  'pkg_resources',
].map(name => `/usr/lib/python3/dist-packages/${name}`)
const EXTRAS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/ssl/openssl.cnf',
  '/usr/share/git-core',
  '/etc/alternatives/iptables',
]
