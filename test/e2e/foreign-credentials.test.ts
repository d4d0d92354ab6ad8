/** What the agent sends as a credential never arrives: the policy's stands there, once. T32–T34. */
import assert from 'node:assert/strict'
import { auditLines, clrkRun } from '../world/clrk.ts'
import { mainJob } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { testEverywhere } from '../world/runtimes.ts'

testEverywhere('every way to send a key of one’s own ends at the proxy', async world => {
  const attempts = [
    ['x-api-key: sk-foreign'],
    ['X-API-KEY: sk-foreign', 'x-api-key: sk-foreign-two'],
    ['X_Api_Key: sk-foreign'],
    ['Authorization: Bearer sk-foreign'],
    ['x-api-key: sk-foreign', 'Authorization: Bearer sk-foreign', 'X_API_KEY: sk-foreign'],
    ['Connection: x-api-key', 'x-api-key: sk-foreign'],
    ['Proxy-Authorization: Basic sk-foreign'],
  ]
  const script = attempts
    .map(
      fields =>
        `curl -sS -o /dev/null -w '%{http_code} ' ${fields.map(field => `-H '${field}'`).join(' ')} https://api.anthropic.com/v1/messages`,
    )
    .join('; ')
  const { stdout, stderr } = await clrkRun(world, ['sh', '-c', script], { manifests: mainJob(world.key) })
  assert.equal(stdout.trim(), attempts.map(() => '200').join(' '), stderr)

  const requests = await world.requests()
  assert.equal(requests.length, attempts.length) // they arrived: silence proves nothing
  for (const request of requests) {
    assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
    assert.deepEqual(valuesOf(request, 'authorization'), [])
    assert.ok(!JSON.stringify(request).includes('sk-foreign'), JSON.stringify(request.fields))
  }
  assert.ok(auditLines(world).some(({ action }) => action === 'stripped'))
  assert.ok(!JSON.stringify(auditLines(world)).includes('sk-foreign'))
})
