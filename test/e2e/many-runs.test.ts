/** Twenty runs at once, each with its own policy and its own answer, whether a worker runs or not. */
import assert from 'node:assert/strict'
import { clrkRun, startWorker, stopWorker } from '../world/clrk.ts'
import { assertNothingLeft, snapshot } from '../world/leaks.ts'
import { PLACES, testEverywhere } from '../world/runtimes.ts'

for (const withWorker of [true, false]) {
  const name = `twenty at once, ${withWorker ? 'with one worker' : 'with none running'}`
  // Who starts the worker has nothing to do with the runtime.
  const places = withWorker ? PLACES : PLACES.filter(place => place === 'local')
  testEverywhere(name, { places }, async world => {
    const before = snapshot(world)
    const worker = withWorker ? await startWorker(world, []) : null
    const runs = Array.from({ length: 20 }, async (_, number) => {
      const [allowed, denied] =
        number % 2 ? ['echo.example.com', 'other.example.com'] : ['other.example.com', 'echo.example.com']
      const script = `curl -sS -o /dev/null -w '%{http_code} ' https://${allowed}/run/${number}; curl -sS -o /dev/null -w '%{http_code}' https://${denied}/run/${number}; exit ${number}`
      const finished = await clrkRun(world, ['sh', '-c', script], { allow: [allowed ?? ''], timeoutMs: 180_000 })
      return {
        code: finished.code,
        answers: finished.stdout,
        request: `${allowed}/run/${number}`,
        stderr: finished.stderr,
      }
    })
    const finished = await Promise.all(runs)
    for (const [number, { code, answers, stderr }] of finished.entries()) {
      assert.deepEqual({ code, answers }, { code: number, answers: '200 403' }, stderr)
    }
    const arrived = (await world.requests()).map(({ server, target }) => server + target)
    assert.deepEqual(arrived.sort(), finished.map(({ request }) => request).sort())
    assert.deepEqual(await world.arrivals(), [])
    if (worker !== null) await stopWorker(worker)
    await assertNothingLeft(world, before)
  })
}
