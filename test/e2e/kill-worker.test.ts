/** A killed worker takes everything with it: shards, sandboxes; what is left on disk the next start removes. T68, T134. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { clrkRun, clrkStatus, spawnClrkRun, startWorker, stopWorker } from '../world/clrk.ts'
import { eventually } from '../world/eventually.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import { createWorld } from '../world/world.ts'

test('kill -9 of the worker', async t => {
  const world = await createWorld(t)
  const before = snapshot(world)
  const client = await startWorker(world, [])
  const agent = spawnClrkRun(world, ['python3', '-u', '-c', AGENT], { allow: ['echo.example.com'], input: 'open' })
  await agent.saw(/200/)
  const { pid, shards, sandboxes } = await clrkStatus(world)
  assert.ok(shards.length > 0 && sandboxes.length === 1)

  await world.host(['kill', '-KILL', String(pid)])
  const finished = await agent.exited
  assert.notEqual(finished.code, 0)
  assert.equal(finished.stderr.trim().split('\n').length, 1, finished.stderr)
  assert.match(finished.stderr, /worker/)
  assert.notEqual((await client.exited).code, 0)
  await eventually(() => (world.machine.processes().length === 0 ? true : null)) // no shard, no sandbox, no helper
  const arrived = (await world.requests()).length

  const next = await startWorker(world, [])
  const { code, stdout, stderr } = await clrkRun(
    world,
    ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', 'https://echo.example.com/next'],
    {
      allow: ['echo.example.com'],
    },
  )
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '200' }, stderr)
  assert.deepEqual(
    (await world.requests()).slice(arrived).map(({ target }) => target),
    ['/next'],
  )
  await stopWorker(next)
  await assertNothingLeft(world, before)
  assert.deepEqual(await world.arrivals(), [])
})

/** Asks on and on. */
const AGENT = `import http.client, time
while True:
    try:
        connection = http.client.HTTPSConnection("echo.example.com", timeout=2)
        connection.request("GET", "/loop")
        print(connection.getresponse().status)
    except Exception as error: print(repr(error))
    time.sleep(0.02)
`
