/** There is no moment in which an agent runs without its walls, or with walls and no proxy behind them. T66, T117. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { USERS } from '../redteam/probe.ts'
import { clrkRun, makeWorkspace, startWorker } from '../world/clrk.ts'
import { ATTACKER } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'

testEverywhere('a program that connects from its first instruction never gets out and never fails', async world => {
  const source = join(import.meta.dirname, 'first-instruction.c')
  const builds = USERS.map(async user => {
    const workspace = makeWorkspace(world, user, Number(user))
    const program = join(workspace, 'first-instruction')
    const built = await world.host(['gcc', '-static', '-O1', '-o', program, source])
    assert.equal(built.code, 0, built.stderr)
    return { user, workspace, program }
  })
  const built = await Promise.all(builds)

  await startWorker(world, [])
  for (const [boot, { user, workspace, program }] of [...built, ...built].entries()) {
    const argv = [program, ATTACKER.v4, ATTACKER.v6, '443']
    const { stdout, stderr } = await clrkRun(world, argv, { workspace, user })
    const [, connects, failed, first, sent] =
      /connects (\d+) failed (\d+) first (\d+) udp-sent (\d+)/.exec(stdout) ?? []
    assert.ok(Number(connects) > 100, `boot ${boot}: ${stdout}${stderr}`)
    assert.deepEqual({ failed, first, sent }, { failed: '0', first: '0', sent: '0' }, `boot ${boot}`)
  }
  assert.deepEqual(await world.arrivals(), [])

  // The program itself gets out where there are no walls: silence above proves something.
  await world.host([built[0]?.program ?? '', ATTACKER.v4, ATTACKER.v6, '443'])
  assert.ok((await world.arrivals()).length > 100)
})
