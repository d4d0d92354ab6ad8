/** A workspace belongs to its owner on disk and to the agent inside, and cannot be used against the host. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { NETNS, run, runtime, SCRATCH, sh, specOf } from './sandboxes.ts'

/** On the machine's real disk, not on the tmpfs of the tests. */
function directory(t: TestContext, owner: number): string {
  const path = mkdtempSync(join(tmpdir(), 'clrk-workspace-'))
  t.after(() => rmSync(path, { recursive: true }))
  chownSync(path, owner, owner)
  return path
}

for (const [owner, uid] of [
  [0, 0],
  [0, 1000],
  [1234, 1000],
  [1234, 0],
] as const) {
  test(`the owner outside is the agent inside (${owner} on disk, ${uid} inside)`, async t => {
    const workspace = directory(t, owner)
    writeFileSync(join(workspace, 'before'), 'x')
    chownSync(join(workspace, 'before'), owner, owner)
    const script = 'id -u; stat -c %u . before; echo x >>before && echo x >after && mkdir sub && mv after sub/'
    const { stdout, stderr } = await run(t, sh(script), {
      workspace,
      workingDirectory: workspace,
      user: { uid, gid: uid },
    })
    assert.deepEqual({ stdout, stderr }, { stdout: `${uid}\n`.repeat(3), stderr: '' })
    for (const name of ['sub', 'sub/after', 'before']) assert.equal(statSync(join(workspace, name)).uid, owner, name)
  })
}

test('no system call makes a set-user-ID or set-group-ID file on the disk of the host', async t => {
  const workspace = directory(t, 0)
  const program = join(SCRATCH, 'sbits')
  execFileSync('gcc', ['-o', program, join(import.meta.dirname, 'seccomp.c')])
  const { stdout } = await run(t, [program, 'sbits'], { workspace, workingDirectory: workspace, readOnly: [program] })

  const answers = new Map(
    stdout
      .trim()
      .split('\n')
      .map(line => line.split(' ') as [string, string]),
  )
  for (const [name, answer] of answers) {
    assert.equal(answer, /plain/.test(name) ? 'ok' : /2$/.test(name) ? 'ENOSYS' : 'EPERM', name)
  }
  assert.equal(answers.size, 18)
  const modes = readdirSync(workspace).map(name => [name, (lstatSync(join(workspace, name)).mode & 0o6000).toString(8)])
  assert.deepEqual(modes.sort(), [
    ['directory', '0'],
    ['plain', '0'],
  ])
})

test('a path through a symbolic link works, and leads to the directory that it led to when it was opened', async t => {
  const parent = directory(t, 0)
  const [real, link] = [join(parent, 'real'), join(parent, 'link')]
  mkdirSync(real)
  symlinkSync('real', link)
  const { stdout, stderr } = await run(t, sh('pwd -P; echo x >made'), { workspace: link, workingDirectory: link })
  assert.deepEqual({ stdout, stderr }, { stdout: `${real}\n`, stderr: '' })
  assert.deepEqual(readdirSync(real), ['made'])
})

test('a workspace below a directory that only root can enter works', async t => {
  const parent = directory(t, 0)
  chmodSync(parent, 0o700)
  const workspace = join(parent, 'w')
  mkdirSync(workspace)
  const { stderr } = await run(t, sh('echo x >made'), { workspace, workingDirectory: workspace })
  assert.deepEqual([stderr, readdirSync(workspace)], ['', ['made']])
})

test('tools inside a workspace stay writable', async t => {
  const workspace = directory(t, 0)
  mkdirSync(join(workspace, 'bin'))
  const readOnly = [join(workspace, 'bin')]
  const { stderr } = await run(t, sh('echo x >bin/new'), { workspace, workingDirectory: workspace, readOnly })
  assert.equal(stderr, '')
})

test('system directories, homes as a whole and missing directories are refused with a sentence', async () => {
  const refusals = [
    ['/', 'it is or holds the whole home'],
    ['/usr', 'it is a system directory'],
    ['/etc/ssl', 'it is a system directory'],
    ['/proc/self', 'it is a system directory'],
    ['/var', 'it is a system directory'],
    ['/nowhere', 'ENOENT'],
  ] as const
  mkdirSync(join(SCRATCH, 'owner'))
  for (const [workspace, reason] of [...refusals, [join(SCRATCH, 'owner'), 'it is or holds the whole home'] as const]) {
    const home = workspace.startsWith(SCRATCH) ? workspace : '/home/caller'
    await assert.rejects(runtime.start(specOf(['/bin/true'], { workspace, home }), NETNS), (error: Error) => {
      assert.match(error.message, /^the sandbox could not be started: sharing the workspace/)
      assert.ok(error.message.includes(reason), error.message)
      return true
    })
  }
})

test('a file system that cannot map owners is refused with a sentence', async () => {
  // /sys/fs/cgroup/* would be refused as a system directory; a proc mount elsewhere is an honest stand-in.
  const workspace = join(SCRATCH, 'unmappable')
  mkdirSync(workspace)
  execFileSync('mount', ['-t', 'proc', 'proc', workspace])
  await assert.rejects(
    runtime.start(specOf(['/bin/true'], { workspace }), NETNS),
    /its file system cannot map owners \(mount_setattr: EINVAL\)\. Use a directory on ext4/,
  )
})
