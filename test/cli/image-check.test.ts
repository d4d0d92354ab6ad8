/** `clrk image check` on real images: what would stop an agent must change, with the line that mends it; nothing is run. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import test from 'node:test'
import { CLRK } from '../world/clrk.ts'
import { busybox, type ImageFile, importImage, onOwnMachine, startEngine } from '../world/engine.ts'

onOwnMachine()

const engine = await startEngine()
test.after(() => engine.stop())

const ROOTS = { 'etc/ssl/certs/ca-certificates.crt': readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8') }
const applets = (...names: string[]) => Object.fromEntries(names.map(name => [`bin/${name}`, { link: 'busybox' }]))
const DEBIAN = { ...busybox(), ...ROOTS, 'etc/os-release': 'PRETTY_NAME="x"\nID=debian\n' }
const OS_RELEASE = { 'etc/os-release': { link: '../usr/lib/os-release' } }
const STATIC = { bytes: readFileSync('/bin/busybox'), mode: 0o755 }
const program = (text: string, mode = 0o755) => ({ bytes: Buffer.from(text), mode })

let count = 0
async function check(files: Record<string, ImageFile>, changes: readonly string[] = [], ...more: string[]) {
  const name = `localhost/checked-${count++}:latest`
  await importImage(engine, name, files, changes)
  return clrkCheck([name, ...more])
}

function clrkCheck(argv: readonly string[], host = `unix://${engine.socket}`) {
  const [sh, script] = CLRK
  const env = { PATH: process.env.PATH, HOME: engine.scratch, DOCKER_HOST: host }
  return spawnSync(sh, [script, 'image', 'check', ...argv], { encoding: 'utf8', env })
}

test('an image that has everything is fine', async () => {
  const files = { ...DEBIAN, ...applets('wget', 'git', 'node') }
  const { status, stdout, stderr } = await check(files, ['USER worker', 'ENTRYPOINT ["sh"]', 'CMD ["-c", "true"]'])
  assert.equal(status, 0, stderr)
  assert.match(stdout, /^ok +user +agents run as worker \(uid 1234\)$/m)
  assert.match(stdout, /^ok +command +uid 1234 can start \/bin\/busybox$/m)
  assert.match(stdout, /^ok +roots +the CA is added to \/etc\/ssl\/certs\/ca-certificates\.crt$/m)
  assert.match(stdout, /^ok +shell /m)
  assert.match(stdout, /^ok +tools +wget, git, node$/m)
  assert.match(stdout, /^ok +size +\d MB in 1 layer$/m)
  assert.match(stdout, /^image localhost\/checked-0:latest: an agent can run in it\n$/m)
  assert.equal(stderr, '')
})

test('what is only missing is advice, with the line of that distribution', async () => {
  const { status, stdout } = await check(DEBIAN)
  assert.equal(status, 0)
  assert.match(stdout, /^advice user .* root.*\n +RUN useradd --create-home --uid 1000 agent\n +USER 1000:1000$/m)
  assert.match(stdout, /^advice tools .*\n +RUN apt-get update && apt-get install .* curl git python3 && rm /m)
  assert.match(stdout, /^ok +command +neither ENTRYPOINT nor CMD/m)
  const strange = await check({ ...busybox(), 'etc/os-release': 'ID=constructor\nID_LIKE=__proto__\n' })
  assert.match(strange.stdout, /^advice tools .*\n +FROM clrk-sandbox-base$/m)
  const alpine = await check({ ...busybox(), 'etc/os-release': 'ID=alpine\n' })
  assert.match(alpine.stdout, /^advice roots .*\n +RUN apk add --no-cache ca-certificates$/m)
  assert.match(alpine.stdout, /^ +RUN adduser -D -u 1000 agent$/m)
  const derived = await check({
    ...busybox(),
    'usr/lib/os-release': 'ID=ours\nID_LIKE="centos fedora"\n',
    ...OS_RELEASE,
  })
  assert.match(derived.stdout, /^ +RUN dnf install -y ca-certificates && dnf clean all$/m)
})

test('an image without a shell is not told to RUN anything', async () => {
  const { status, stdout } = await check({ agent: STATIC }, ['ENTRYPOINT ["/agent"]', 'USER 1000:1000'])
  assert.equal(status, 0)
  assert.match(stdout, /^ok +command +uid 1000 can start \/agent$/m)
  assert.match(stdout, /^advice user +uid 1000 has no name/m)
  assert.match(stdout, /^advice shell /m)
  assert.match(stdout, /^advice roots .*\n +COPY --from=clrk-sandbox-base \S+ca-certificates\.crt /m)
  assert.doesNotMatch(stdout, /RUN/)
})

for (const [what, files, changes, sentence] of [
  [
    'a user that the image does not know',
    {},
    ['USER nobody-here'],
    /user +USER is nobody-here, and .* no user nobody-here/,
  ],
  ['a group that the image does not know', {}, ['USER worker:crew'], /user +USER is worker:crew, and .* no group crew/],
  ['a command that is not there', {}, ['CMD ["agent"]'], /command +it starts agent, which is not in the image/],
  [
    'a link that leads to a file of the host only',
    { 'bin/agent': { link: '/usr/bin/env' } },
    ['CMD ["agent"]'],
    /which is not in/,
  ],
  [
    'links in a circle',
    { 'bin/agent': { link: 'b' }, 'bin/b': { link: 'agent' } },
    ['CMD ["agent"]'],
    /which is not in/,
  ],
  ['a command without its mode', { agent: program('', 0o644) }, ['CMD ["/agent"]'], /\/agent, which uid 0 may not run/],
  ["somebody else's command", { agent: program('', 0o744) }, ['CMD ["/agent"]', 'USER 7'], /which uid 7 may not run/],
  [
    'an interpreter that is not there',
    { agent: program('#!/usr/bin/ruby -w\n') },
    ['CMD ["./agent"]'],
    /needs \/usr\/bin\/ruby/,
  ],
  ['the same by env', { agent: program('#!/bin/env ruby\n') }, ['CMD ["/agent"]'], /\/agent, which needs ruby/],
  [
    'a dynamic linker that is not there',
    { agent: { bytes: readFileSync('/bin/true'), mode: 0o755 } },
    ['CMD ["/agent"]'],
    /needs \/lib\S*\/ld-linux/,
  ],
  ['a program for another processor', { agent: foreign() }, ['CMD ["/agent"]'], /for another processor/],
] as const) {
  test(`${what} must change`, async () => {
    const { stdout, stderr, status } = await check({ ...DEBIAN, ...files }, changes)
    assert.equal(stderr, '')
    assert.equal(status, 1)
    const [line, next] = linesFrom(stdout, /^change /)
    assert.match(line, sentence)
    assert.match(next, /^ +(RUN|USER|#) ?/)
    assert.match(stdout, /: 1 must change\n$/)
  })
}

test('a command in a directory that its user may not enter must change', async () => {
  const archive = { ...DEBIAN, 'root/': 'directory', 'root/agent': program('#!/bin/sh\n') } as const
  await importImage(engine, 'localhost/open:latest', archive, ['CMD ["/root/agent"]', 'USER 1234'])
  assert.equal(clrkCheck(['localhost/open:latest']).status, 0)
  const container = await engine.docker.createContainer({
    ...{ Image: 'localhost/open:latest', User: '0', Cmd: ['chmod', '700', '/root'], NetworkDisabled: true },
  })
  await container.start()
  await container.wait()
  await container.commit({ repo: 'localhost/closed', tag: 'latest', changes: 'USER 1234\nCMD ["/root/agent"]' })
  await container.remove()
  const { status, stdout } = clrkCheck(['localhost/closed:latest'])
  assert.equal(status, 1)
  assert.match(stdout, /^change command it starts \/root\/agent, which uid 1234 may not run$/m)
})

test('a key in ENV must change, and is not repeated', async () => {
  const set = (value: string) => check(DEBIAN, [`ENV ANTHROPIC_API_KEY=${value}`])
  const { status, stdout, stderr } = await set('sk-ant-canary')
  assert.equal(status, 1)
  assert.match(stdout, /^change keys +ENV ANTHROPIC_API_KEY holds a key/m)
  assert.doesNotMatch(stdout + stderr, /canary/)
  assert.equal((await set('clrk-injected-by-proxy')).status, 0)
  const json = await check(DEBIAN, ['ENV OPENAI_API_KEY=sk-canary'], '--json')
  assert.doesNotMatch(json.stdout, /canary/)
})

test('--json says the same in one object', async () => {
  const { status, stdout } = await check(DEBIAN, ['USER nobody-here'], '--json')
  assert.equal(status, 1)
  const { fine, findings, distribution, layers } = JSON.parse(stdout)
  assert.deepEqual([fine, distribution, layers.length], [false, 'debian', 1])
  const [user] = findings.filter((finding: { verdict: string }) => finding.verdict === 'change')
  assert.deepEqual([user.subject, user.dockerfile.at(-1)], ['user', 'USER 1000:1000'])
})

test('no engine, no such image, no image: one line', () => {
  for (const [{ status, stdout, stderr }, pattern] of [
    [clrkCheck(['localhost/a:latest'], `unix://${engine.scratch}/none`), /no engine answers there/],
    [clrkCheck(['localhost/none:latest']), /localhost\/none:latest/],
    [clrkCheck([]), /the image is missing/],
  ] as const) {
    assert.notEqual(status, 0)
    assert.equal(stdout, '')
    assert.match(stderr, pattern)
    assert.equal(stderr.trim().split('\n').length, 1, stderr)
  }
})

test('nothing is left of it', async () => {
  assert.deepEqual(await engine.docker.listContainers({ all: true }), [])
  assert.deepEqual(
    readdirSync(tmpdir()).filter(name => name.startsWith('clrk-image-')),
    [],
  )
})

function linesFrom(text: string, pattern: RegExp): readonly [string, string] {
  const lines = text.split('\n')
  const at = lines.findIndex(line => pattern.test(line))
  return [lines[at] ?? '', lines[at + 1] ?? '']
}

/** An ELF file of a machine that clrk does not know (RISC-V). */
function foreign(): { readonly bytes: Buffer; readonly mode: number } {
  const bytes = Buffer.from(readFileSync('/bin/true'))
  bytes.writeUInt16LE(243, 18)
  return { bytes, mode: 0o755 }
}
