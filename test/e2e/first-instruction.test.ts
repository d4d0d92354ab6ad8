/** There is no moment in which an agent runs without its walls, or with walls and no proxy behind them. T66, T117. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace, startWorker } from '../world/clrk.ts'
import { ATTACKER } from '../world/names.ts'
import { createWorld } from '../world/world.ts'

test('a program that connects from its first instruction never gets out and never fails', async t => {
  const world = await createWorld(t)
  const workspace = makeWorkspace(world)
  const program = join(workspace, 'first-instruction')
  const built = await world.host([
    'gcc',
    '-static',
    '-O1',
    '-o',
    program,
    join(import.meta.dirname, 'first-instruction.c'),
  ])
  assert.equal(built.code, 0, built.stderr)

  await startWorker(world, [])
  for (const [boot, user] of ['0', '1000', '0', '1000'].entries()) {
    const { stdout, stderr } = await clrkRun(world, [program, ATTACKER.v4, ATTACKER.v6, '443'], {
      workspace,
      user: user as '0',
    })
    const [, connects, failed, first, sent] =
      /connects (\d+) failed (\d+) first (\d+) udp-sent (\d+)/.exec(stdout) ?? []
    assert.ok(Number(connects) > 100, `boot ${boot}: ${stdout}${stderr}`)
    assert.deepEqual({ failed, first, sent }, { failed: '0', first: '0', sent: '0' }, `boot ${boot}`)
  }
  assert.deepEqual(await world.arrivals(), [])

  // The program itself gets out where there are no walls: silence above proves something.
  await world.host([program, ATTACKER.v4, ATTACKER.v6, '443'])
  assert.ok((await world.arrivals()).length > 100)
})
