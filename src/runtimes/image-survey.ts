/** What `clrk image check` looks at in an image: gathered here, judged in image-findings.ts. Runs nothing of it. */
import { PLACEHOLDER } from '../providers/provider.ts'
import { CREDENTIAL_VARIABLES } from '../providers/registry.ts'
import type { HostRoots } from '../trust/image-roots.ts'
import { allows, createImageFiles, type Identity, type ImageFiles, type ProgramState } from './image-files.ts'
import type { ImageFacts, ImageRuntime } from './image-runtime.ts'

export type Distribution = 'debian' | 'alpine' | 'rhel' | 'suse'

export type ImageSurvey = {
  readonly facts: ImageFacts
  /** Bytes of each. */
  readonly layers: readonly number[]
  readonly roots: HostRoots
  /** Whose packages a RUN can install; null where there are none, or no shell for a RUN. */
  readonly distribution: Distribution | null
  readonly user: ImageUser
  /** The first word of ENTRYPOINT and CMD; null where both are empty. */
  readonly program: { readonly name: string; readonly is: ProgramState } | null
  readonly shell: ProgramState
  /** Of `TOOLS`, those that its user can start. */
  readonly tools: readonly string[]
  readonly libc: 'glibc' | 'musl' | null
  /** Names of variables in which it carries a provider's key. */
  readonly keys: readonly string[]
}

export type ImageUser =
  /** USER names somebody whom /etc/passwd or /etc/group does not know: engines do not start it. */
  | { readonly unknown: string }
  | (Identity & {
      /** Null where /etc/passwd does not list the uid. */
      readonly name: string | null
      readonly home: string
      readonly mayWriteHome: boolean
    })

export const TOOLS = ['curl', 'wget', 'git', 'node', 'python3', 'java'] as const

export async function surveyImage(runtime: ImageRuntime, facts: ImageFacts): Promise<ImageSurvey> {
  const [roots, layers] = [await runtime.roots(facts), await runtime.layers(facts)]
  const surveyed = await runtime.files(facts, async source => {
    const files = createImageFiles(source)
    const user = await userOf(facts, files)
    const who = 'unknown' in user ? NOBODY : user
    const search = { who, path: facts.environment.PATH ?? ENGINE_PATH, directory: facts.workingDirectory }
    const [name] = [...facts.entrypoint, ...facts.command]
    const program = name === undefined ? null : { name, is: await files.program(name, search) }
    const shell = await files.program('/bin/sh', search)
    const tools: string[] = []
    for (const tool of TOOLS) if ((await files.program(tool, search)).state === 'runs') tools.push(tool)
    const distribution = shell.state !== 'runs' ? null : distributionOf((await files.text('/etc/os-release')) ?? '')
    return { distribution, user, program, shell, tools, libc: libcOf(shell) ?? libcOf(program?.is) }
  })
  const { environment } = facts
  const keys = CREDENTIAL_VARIABLES.filter(name => environment[name] && environment[name] !== PLACEHOLDER)
  return { facts, layers, roots, ...surveyed, keys }
}

/** USER as engines read it: NAME|UID[:GROUP|GID], names from /etc/passwd and /etc/group (passwd(5), group(5)). */
async function userOf({ user, environment }: ImageFacts, files: ImageFiles): Promise<ImageUser> {
  const lines = async (path: string) => ((await files.text(path)) ?? '').split('\n').map(line => line.split(':'))
  const [passwd, groups] = [await lines('/etc/passwd'), await lines('/etc/group')]
  const [name = '', group] = (user || '0').split(':')
  const entry = passwd.find(([known, , uid]) => known === name || uid === name)
  if (entry === undefined && !isNumber(name)) return { unknown: `user ${name}` }
  const groupEntry = groups.find(([known]) => known === group)
  if (group !== undefined && groupEntry === undefined && !isNumber(group)) return { unknown: `group ${group}` }
  const gid = group === undefined ? Number(entry?.[3] ?? 0) : Number(groupEntry?.[2] ?? group)
  // A group that is given stands alone.
  const more =
    group !== undefined ? [] : groups.filter(([, , , members]) => members?.split(',').includes(entry?.[0] ?? ''))
  const who = { uid: Number(entry?.[2] ?? name), groups: [gid, ...more.map(([, , id]) => Number(id))] }
  const home = environment.HOME || entry?.[5] || '/'
  const directory = await files.find(home.startsWith('/') ? home : `/${home}`)
  const mayWriteHome = directory?.kind === 'directory' && allows(directory, who, WRITE)
  return { ...who, name: entry?.[0] ?? null, home, mayWriteHome }
}

/** os-release(5): ID, then ID_LIKE, the closest first. */
function distributionOf(osRelease: string): Distribution | null {
  const value = (key: string) => new RegExp(`^${key}=["']?([\\w. -]*)`, 'm').exec(osRelease)?.[1]?.split(' ') ?? []
  for (const id of [...value('ID'), ...value('ID_LIKE')]) {
    const found = FAMILIES.get(id)
    if (found !== undefined) return found
  }
  return null
}

function libcOf(program: ProgramState | undefined): 'glibc' | 'musl' | null {
  if (program?.state !== 'runs' || program.head.kind !== 'elf' || program.head.interpreter === null) return null
  return /\/ld-musl/.test(program.head.interpreter) ? 'musl' : 'glibc'
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text)
}

const NOBODY = { uid: 65_534, groups: [65_534] }
const WRITE = 2
/** What engines set where an image has no PATH. */
const ENGINE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Ids of os-release that say whose packages they take; what they are like says the rest. */
const FAMILIES: ReadonlyMap<string, Distribution> = new Map([
  ...each('debian', ['debian', 'ubuntu']),
  ...each('alpine', ['alpine', 'wolfi', 'chainguard']),
  ...each('rhel', ['rhel', 'centos', 'fedora', 'rocky', 'almalinux', 'amzn']),
  ...each('suse', ['suse', 'opensuse', 'sles']),
])

function each(family: Distribution, ids: readonly string[]) {
  return ids.map(id => [id, family] as const)
}
