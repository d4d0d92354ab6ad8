/** `--workspace`: writable inside at the same path, owned by the same person on both sides, and nothing else is there. */
import assert from 'node:assert/strict'
import { chownSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { USERS } from '../redteam/probe.ts'
import { clrkRun, makeWorkspace } from '../world/clrk.ts'
import { testEverywhere } from '../world/runtimes.ts'

const OWNERS = [0, 1000, 54_321]

testEverywhere('a workspace belongs to the agent inside, and to its owner on disk', async world => {
  // A container's uids are the host's: there the agent is the owner. A local sandbox shows the owner as its user.
  const users = world.image === null ? USERS : [null]
  for (const owner of OWNERS) {
    for (const user of users) {
      const workspace = makeWorkspace(world, `workspace-${owner}-${user}`, owner)
      writeFileSync(join(workspace, 'mine.txt'), 'from outside\n', { mode: 0o600 })
      chownSync(join(workspace, 'mine.txt'), owner, owner)
      const script =
        'pwd; cat mine.txt; stat -c %u mine.txt; echo from inside >new.txt; mkdir below; echo more >>mine.txt; chmod 755 new.txt'
      const options = { workspace, cwd: workspace, ...(user && { user }) }
      const { stdout, stderr, code } = await clrkRun(world, ['sh', '-ec', script], options)
      assert.equal(code, 0, stderr)
      assert.equal(stdout, `${workspace}\nfrom outside\n${user ?? owner}\n`)
      assert.equal(readFileSync(join(workspace, 'new.txt'), 'utf8'), 'from inside\n')
      assert.equal(readFileSync(join(workspace, 'mine.txt'), 'utf8'), 'from outside\nmore\n')
      for (const name of ['new.txt', 'below', 'mine.txt'])
        assert.equal(statSync(join(workspace, name)).uid, owner, name)
    }
  }
})

testEverywhere('nothing beside the workspace is there, and links out of it lead nowhere', async world => {
  const workspace = makeWorkspace(world)
  mkdirSync(join(world.directory, 'beside'))
  writeFileSync(join(world.directory, 'beside/secret.txt'), 'secret')
  symlinkSync('../beside/secret.txt', join(workspace, 'link'))
  const script = `cat link; ls ${world.directory}/beside; ls ${world.directory}; echo x >/etc/new; echo x >/usr/new; echo x >/opt/new; echo x >${world.directory}/new`
  const { stdout, stderr } = await clrkRun(world, ['sh', '-c', script], { workspace, cwd: workspace, user: '0' })
  assert.doesNotMatch(stdout, /secret/)
  if (world.image === null) {
    assert.equal(stdout, 'home\nworkspace\n', stderr) // a private home stands at its usual path
    assert.equal(stderr.match(/Read-only file system/g)?.length, 3, stderr)
  } else {
    assert.equal(stdout, 'workspace\n', stderr)
    for (const path of ['/etc/new', '/usr/new']) assert.ok(!existsSync(path))
  }
  assert.ok(!existsSync(join(world.directory, 'new'))) // what surrounds the workspace inside is the sandbox's own
})

testEverywhere('home and /tmp are private, and gone afterwards', async world => {
  const first = await clrkRun(world, [
    'sh',
    '-ec',
    'echo kept >"$HOME/kept"; echo kept >/tmp/kept; ls -A "$HOME" /tmp | grep -c kept',
  ])
  assert.equal(first.stdout.trim(), '2', first.stderr)
  const second = await clrkRun(world, ['sh', '-c', 'ls -A "$HOME" /tmp | grep kept; true'])
  assert.equal(second.stdout, '')
})
