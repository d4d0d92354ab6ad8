/** The disk of the state fills up: one clear line for each run that cannot be recorded, and nothing of the others is lost. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { clrkRun, clrkStatus, spawnClrkRun, stateOf } from '../world/clrk.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import { testEverywhere } from '../world/runtimes.ts'

const ASK = 'curl -sS -o /dev/null -w "%{http_code}\\n" https://echo.example.com/'

testEverywhere('a state on a full disk', async world => {
  const before = snapshot(world)
  const state = stateOf(world)
  const host = async (script: string) => assert.equal((await world.host(['sh', '-c', script])).code, 0, script)
  await host(`mkdir ${state} && chmod 700 ${state} && mount -t tmpfs -o size=3m,mode=700 tmpfs ${state}`)
  const run = { allow: ['echo.example.com'] }

  const agent = spawnClrkRun(world, ['sh', '-c', `${ASK}; read line; ${ASK}; exit 3`], { ...run, input: 'open' })
  await agent.saw(/200/)
  await host(
    `dd if=/dev/zero of=${state}/filler bs=1k 2>/dev/null; dd if=/dev/zero of=${state}/more bs=1 2>/dev/null; :`,
  )

  const refused = await clrkRun(world, ['true'], run)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /^clrk: the state cannot be written: .*ENOSPC.*\n$/)
  assert.equal((await clrkStatus(world)).sandboxes.length, 1)
  agent.stdin.write('\n')
  const { code, stdout, stderr } = await agent.exited
  assert.deepEqual({ code, stdout }, { code: 3, stdout: '200\n200\n' }, stderr)

  const again = await clrkRun(world, ['true'], run)
  assert.notEqual(again.code, 0)
  assert.match(again.stderr, /^clrk: the state cannot be written: .*ENOSPC.*\n$/)
  await host(`rm ${state}/filler ${state}/more`)
  assert.equal((await clrkRun(world, ['true'], run)).code, 0)
  await assertNothingLeft(world, { ...before, mounts: snapshot(world).mounts })
  const seen = `/proc/${world.machine.init}/root${state}` // mounted on that machine alone
  const records = readFileSync(join(seen, 'runs.jsonl'), 'utf8').trimEnd().split('\n')
  const codes = records.map((line): number => JSON.parse(line).exit.code)
  // A boot that had begun when the disk was found full is a run, too.
  assert.deepEqual(
    codes.filter(code => code !== 125),
    [3, 0],
  )
  assert.deepEqual(readdirSync(join(seen, 'running')), [])
})
