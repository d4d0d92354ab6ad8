/** Socket families past TCP/IP and unix cannot be made, by no door: socket, io_uring, 32-bit calls. T121. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { clrkRun, makeWorkspace } from '../world/clrk.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { USERS } from './probe.ts'

testEverywhere('AF_VSOCK and other families are refused through every door', async world => {
  const build = async (workspace: string) => {
    const program = join(workspace, 'sockets')
    const source = join(import.meta.dirname, 'sockets.c')
    const built = await world.host(['gcc', '-static', '-O1', '-o', program, source])
    assert.equal(built.code, 0, built.stderr)
    return program
  }

  const outside = await world.host([await build(world.directory)])
  assert.match(outside.stdout, /^tcp made$/m) // the probe itself works
  assert.match(outside.stdout, /^netlink made$/m)

  for (const user of USERS) {
    const workspace = makeWorkspace(world, user, Number(user))
    const program = await build(workspace)
    const { stdout, stderr, code } = await clrkRun(world, [program], { user, workspace })
    assert.equal(code, 0, stderr)
    const outcomes = Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map(line => line.split(' ')),
    )
    const { tcp, unix, ...refused } = outcomes
    delete refused.netlink // getaddrinfo and `ip` read addresses through it
    assert.deepEqual({ tcp, unix }, { tcp: 'made', unix: 'made' })
    assert.ok(Object.keys(refused).length >= 8)
    for (const [door, outcome] of Object.entries(refused)) {
      assert.match(String(outcome), /^(EPERM|ENOSYS|EAFNOSUPPORT|EACCES|SIGSYS|SIGSEGV)$/, `${door} (user ${user})`)
    }
  }
})
