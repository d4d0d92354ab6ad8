/** A new value is on the next request, also of an open connection; nothing restarts, and it outlives the worker. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { clrkRun, clrkSecretSet, spawnClrkRun, startWorker, stateOf, stopWorker } from '../world/clrk.ts'
import { grepForCanary } from '../world/leaks.ts'
import { gateway, injection, providerRoute } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { testEverywhere } from '../world/runtimes.ts'

testEverywhere('the next request of an open connection carries the new value', async world => {
  const policy = [gateway(), providerRoute(), injection()]
  const worker = await startWorker(world, policy)
  const set = async (value: string) => {
    const { code, stdout, stderr } = await clrkSecretSet(world, 'anthropic-credentials', `api-key=${value}`)
    assert.equal(code, 0, stderr)
    assert.ok(!`${stdout}${stderr}`.includes(value))
  }
  await set(world.key)
  const running = spawnClrkRun(world, ['python3', '-u', '-c', AGENT], {
    arguments: ['--gateway', 'test'],
    input: 'open',
  })
  await running.saw(/one 200/)
  await set(`${world.keyPrefix}-second`)
  running.stdin.write('go\n')
  const { stdout, stderr, code } = await running.exited
  assert.equal(code, 0, stderr)
  assert.equal(stdout, 'one 200\ntwo 200\n')
  const requests = await world.requests()
  assert.deepEqual(
    requests.flatMap(request => valuesOf(request, 'x-api-key')),
    [world.key, `${world.keyPrefix}-second`],
  )

  await stopWorker(worker)
  const kept = grepForCanary(world, `${world.keyPrefix}-second`, [stateOf(world)])
  for (const path of kept) assert.equal(statSync(path).mode & 0o077, 0, `${path} is not root's alone`)
  assert.deepEqual(grepForCanary(world, world.key, [stateOf(world)]), [])
  await startWorker(world, policy)
  const again = await clrkRun(world, ['curl', '-sS', '-d', '{}', 'https://api.anthropic.com/v1/messages'], {
    arguments: ['--gateway', 'test'],
  })
  assert.match(again.stdout, /"output_tokens":7/)
})

/** One connection, never reopened: `auto_open = 0` makes http.client fail where it would connect again. */
const AGENT = `import http.client, sys
connection = http.client.HTTPSConnection("api.anthropic.com")
connection.connect()
connection.auto_open = 0
for word in ("one", "two"):
    connection.request("POST", "/v1/messages", "{}", {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    print(word, answer.status)
    if word == "one": sys.stdin.readline()
`
