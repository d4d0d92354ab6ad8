/** What is fine in an image, what would be better, and what must change, each with the line for its Dockerfile. Pure. */
import type { ProgramState } from './image-files.ts'
import type { Distribution, ImageSurvey } from './image-survey.ts'

export type ImageFinding = {
  /** `change`: agents do not run as it is, or it holds a key. `advice`: they do, but miss something. */
  readonly verdict: 'ok' | 'advice' | 'change'
  readonly subject: string
  /** Without its full stop. */
  readonly sentence: string
  /** Lines of a Dockerfile that mend it. */
  readonly dockerfile: readonly string[]
}

export function findingsOf(survey: ImageSurvey): readonly ImageFinding[] {
  return [
    ...userFindings(survey),
    programFinding(survey),
    ...survey.keys.map(name => ({
      ...{ verdict: 'change' as const, subject: 'keys', sentence: `ENV ${name} holds a key that every agent can read` },
      dockerfile: [`# delete the line ENV ${name}=…, build without the layers that had it, and revoke the key`],
    })),
    rootsFinding(survey),
    ...javaFindings(survey),
    shellFinding(survey),
    toolsFinding(survey),
    libcFinding(survey),
    sizeFinding(survey),
  ]
}

function userFindings({ user, distribution, facts }: ImageSurvey): readonly ImageFinding[] {
  const finding = (verdict: ImageFinding['verdict'], sentence: string, dockerfile: readonly string[]) => ({
    ...{ verdict, subject: 'user', sentence, dockerfile },
  })
  const adds = addUser(distribution)
  if ('unknown' in user) {
    const sentence = `USER is ${facts.user}, and the image has no ${user.unknown}: no engine starts it`
    return [finding('change', sentence, [...adds, 'USER 1000:1000'])]
  }
  const found: ImageFinding[] = []
  if (user.uid === 0) {
    found.push(finding('advice', 'agents run as root, which is root on the host too', [...adds, 'USER 1000:1000']))
  } else if (user.name === null) {
    const sentence = `uid ${user.uid} has no name: git, ssh and others ask for it`
    found.push(finding('advice', sentence, addUser(distribution, user.uid)))
  } else {
    found.push(finding('ok', `agents run as ${user.name} (uid ${user.uid})`, []))
  }
  if (!user.mayWriteHome) {
    const sentence = `its home ${user.home} is not there, or it may not write to it: caches and settings are lost`
    const [gid] = user.groups
    const line = `COPY --from=clrk-sandbox-base --chown=${user.uid}:${gid} /home/agent /home/agent`
    const dockerfile = user.home === '/' ? [line, 'ENV HOME=/home/agent'] : [line.replace(/ \S+$/, ` ${user.home}`)]
    found.push(finding('advice', sentence, dockerfile))
  }
  return found
}

function programFinding({ program, user }: ImageSurvey): ImageFinding {
  const subject = 'command'
  if (program === null) {
    const sentence = 'neither ENTRYPOINT nor CMD: each agent must say its command'
    return { verdict: 'ok', subject, sentence, dockerfile: [] }
  }
  const { name, is } = program
  const who = 'unknown' in user ? 'its user' : `uid ${user.uid}`
  const sentence = sentenceOf(name, is, who)
  const lines: Readonly<Record<ProgramState['state'], readonly string[]>> = {
    runs: [],
    absent: [`# COPY ${name} into the image, or name in ENTRYPOINT or CMD what is there`],
    'not for this user': [`RUN chmod a+rx ${'path' in is ? is.path : name}`, '# and the directories that lead to it'],
    'cannot start': [`# install ${'missing' in is ? is.missing : ''}, or begin with FROM clrk-sandbox-base`],
    'for another machine': [`# build it with --platform=linux/${process.arch === 'x64' ? 'amd64' : process.arch}`],
  }
  return { verdict: is.state === 'runs' ? 'ok' : 'change', subject, sentence, dockerfile: lines[is.state] }
}

function sentenceOf(name: string, is: ProgramState, who: string): string {
  switch (is.state) {
    case 'runs':
      return `${who} can start ${is.path}`
    case 'absent':
      return `it starts ${name}, which is not in the image`
    case 'not for this user':
      return `it starts ${is.path}, which ${who} may not run`
    case 'cannot start':
      return `it starts ${is.path}, which needs ${is.missing}, and that is not in the image`
    case 'for another machine':
      return `it starts ${is.path}, which is for another processor than this machine's`
  }
}

function rootsFinding({ roots: { bundles }, distribution }: ImageSurvey): ImageFinding {
  const subject = 'roots'
  if (bundles.length > 0) {
    const where = bundles.map(({ realPath }) => realPath).join(', ')
    return { verdict: 'ok', subject, sentence: `the CA is added to ${where}`, dockerfile: [] }
  }
  const sentence = 'no CA bundle: clients find the CA by variables only, such as SSL_CERT_FILE'
  const copied = 'COPY --from=clrk-sandbox-base /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt'
  return { verdict: 'advice', subject, sentence, dockerfile: install(distribution, ['ca-certificates']) ?? [copied] }
}

function javaFindings({ roots: { keystores }, tools }: ImageSurvey): readonly ImageFinding[] {
  if (keystores.length > 0) {
    const sentence = `the CA is added to ${keystores.map(({ realPath }) => realPath).join(', ')}`
    return [{ verdict: 'ok', subject: 'java', sentence, dockerfile: [] }]
  }
  if (!tools.includes('java')) return []
  const sentence = 'Java is there, and no keystore is where one is looked for: it does not trust the CA'
  const dockerfile = ['ENV JAVA_HOME=/path/of/the/runtime # the directory above lib/security/cacerts']
  return [{ verdict: 'advice', subject: 'java', sentence, dockerfile }]
}

function shellFinding({ shell }: ImageSurvey): ImageFinding {
  if (shell.state === 'runs') return { verdict: 'ok', subject: 'shell', sentence: '/bin/sh runs', dockerfile: [] }
  const sentence = 'no /bin/sh that runs: agents that start commands by a shell cannot'
  return { verdict: 'advice', subject: 'shell', sentence, dockerfile: [BASE] }
}

/** One of each is enough. */
const WANTED = [['curl', 'wget'], ['git'], ['python3', 'node']] as const

function toolsFinding({ tools, distribution }: ImageSurvey): ImageFinding {
  const missing = WANTED.filter(group => !group.some(tool => tools.includes(tool)))
  const has = tools.length === 0 ? 'none' : tools.join(', ')
  if (missing.length === 0) return { verdict: 'ok', subject: 'tools', sentence: has, dockerfile: [] }
  const lacks = missing.map(group => group.join(' or ')).join(', ')
  const sentence = `agents often want ${lacks}; it has ${has}`
  const dockerfile = install(
    distribution,
    missing.map(([first]) => first),
  ) ?? [BASE]
  return { verdict: 'advice', subject: 'tools', sentence, dockerfile }
}

function libcFinding({ libc }: ImageSurvey): ImageFinding {
  const sentence = {
    glibc: 'glibc: programs for most Linux systems run',
    musl: 'musl: programs that are built for glibc do not run, such as those of many npm and pip packages',
    null: 'no dynamic linker was seen: static programs run',
  }[`${libc}`]
  return { verdict: 'ok', subject: 'libc', sentence, dockerfile: [] }
}

function sizeFinding({ layers, facts }: ImageSurvey): ImageFinding {
  const total = layers.reduce((sum, bytes) => sum + bytes, 0)
  const largest = layers.length < 2 ? '' : `, the largest ${megabytes(Math.max(...layers))}`
  const size = `${megabytes(total)} in ${layers.length} layer${layers.length === 1 ? '' : 's'}${largest}`
  if (total <= MUCH_BYTES) return { verdict: 'ok', subject: 'size', sentence: size, dockerfile: [] }
  const sentence = `${size}: the first boot on a machine waits for it`
  return { verdict: 'advice', subject: 'size', sentence, dockerfile: [`# see docker history ${facts.reference}`] }
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`
}

/** Null where the image has no packages that we know. */
function install(distribution: Distribution | null, packages: readonly string[]): readonly string[] | null {
  if (distribution === null) return null
  const names = packages.join(' ')
  const lines: Readonly<Record<Distribution, string>> = {
    debian: `RUN apt-get update && apt-get install -y --no-install-recommends ${names} && rm -rf /var/lib/apt/lists/*`,
    alpine: `RUN apk add --no-cache ${names}`,
    rhel: `RUN dnf install -y ${names} && dnf clean all`,
    suse: `RUN zypper --non-interactive install ${names} && zypper clean --all`,
  }
  return [lines[distribution]]
}

function addUser(distribution: Distribution | null, uid = 1000): readonly string[] {
  if (distribution === null) return []
  if (distribution === 'alpine') return [`RUN adduser -D -u ${uid} agent`]
  return [`RUN useradd --create-home --uid ${uid} agent`]
}

const BASE = 'FROM clrk-sandbox-base'
const MUCH_BYTES = 2e9
