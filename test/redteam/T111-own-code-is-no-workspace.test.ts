/** No agent writes to the code that root runs next: not to clrk's own, nor to its Node, whatever path leads there. T111. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { openWorkspace } from '../../src/runtimes/docker-workspace.ts'
import { CLRK, clrkRun, REPOSITORY, startWorker, stateOf } from '../world/clrk.ts'
import { createWorld } from '../world/world.ts'

test("clrk's own code is no workspace, nor is what holds it or lies in it", async t => {
  const world = await createWorld(t)
  await startWorker(world, []) // one for all
  const link = join(world.directory, 'link')
  symlinkSync(REPOSITORY, link)
  const made = (directory: string) => join(directory, 'made-by-an-agent')
  t.after(() => rmSync(made(REPOSITORY), { force: true }))
  for (const workspace of [REPOSITORY, link, join(REPOSITORY, 'src')]) {
    const { code, stdout, stderr } = await clrkRun(world, ['touch', made(workspace)], { workspace, user: '0' })
    assert.ok(!existsSync(made(workspace)), workspace)
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, `${workspace}: ${stderr}`)
    assert.match(stderr, /--workspace .*clrk's own code, which root runs/)
  }
  // By the API, and for images: the worker's own look.
  const parts = ['src', 'examples', 'node_modules'].map(part => join(REPOSITORY, part))
  for (const workspace of [REPOSITORY, link, dirname(process.execPath), ...parts]) {
    assert.throws(() => openWorkspace(workspace, [], stateOf(world)), /clrk's own code/, workspace)
  }
  const above = dirname(REPOSITORY) // of a clone in /work that is a system directory, too
  assert.throws(() => openWorkspace(above, [], stateOf(world)), /clrk's own code|a system directory/)
})

test('what lies on PATH in a directory of an agent is not what root runs', async t => {
  const world = await createWorld(t)
  const bin = join(world.directory, 'workspace/node_modules/.bin') // as npm run and direnv put it in front
  mkdirSync(bin, { recursive: true })
  for (const name of ['unshare', 'readlink', 'dirname', 'uname', 'nft', 'ip', 'bwrap', 'nsenter', 'gcc', 'sh']) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho ${name} "$(id -u)" >>${world.directory}/ran\nexit 1\n`)
    chmodSync(join(bin, name), 0o755)
  }
  const caller = ['/usr/bin/env', `PATH=${bin}:${process.env.PATH}`, '/bin/sh', CLRK[1]]
  const { stdout, stderr } = await world.host([
    ...caller,
    'run',
    '--state',
    stateOf(world),
    '--',
    '/bin/echo',
    'inside',
  ])
  const ran = join(world.directory, 'ran')
  assert.equal(existsSync(ran) ? readFileSync(ran, 'utf8') : '', '')
  assert.equal(stdout, 'inside\n', stderr)
})
