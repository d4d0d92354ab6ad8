/** A credential that is missing or cannot stand in a header stops the request; the agent's own never stands in. T95, T96. */
import assert from 'node:assert/strict'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { runProbes } from './probe.ts'

const PROBE = `attempt("asked", lambda: https("api.anthropic.com", request=get(
    "api.anthropic.com", "/v1/messages", "x-api-key: sk-foreign\\r\\nAuthorization: Bearer sk-foreign\\r\\n")))`

testEverywhere('without a usable credential nothing is sent', async (world, t) => {
  const policy = [gateway(), providerRoute(), injection()]
  const name = 'anthropic-credentials'
  for (const [what, resources] of [
    ['no Secret', []],
    ['no such key in it', [secret(name, { other: world.key })]],
    ['an empty value', [secret(name, { 'api-key': '' })]],
    ['CR and LF inside', [secret(name, { 'api-key': `${world.key}\r\nX-Smuggled: 1` })]],
    ['a NUL inside', [secret(name, { 'api-key': `${world.key}\0` })]],
    ['bytes outside ASCII', [secret(name, { 'api-key': `${world.key}\xe9` })]],
    ['two newlines at the end', [secret(name, { 'api-key': `${world.key}\n\n` })]],
  ] as const) {
    await t.test(`${what}: 503 that names it`, async () => {
      const { asked } = await runProbes(world, PROBE, { manifests: [...policy, ...resources] })
      assert.equal(asked, '503 CLRK_SECRET_MISSING')
      assert.deepEqual(await world.requests(), [])
    })
  }

  await t.test('one newline at the end is the file’s, not the key’s', async () => {
    const withNewline = secret(name, { 'api-key': `${world.key}\n` })
    const { asked } = await runProbes(world, PROBE, { manifests: [...policy, withNewline] })
    assert.match(asked ?? '', /^200 /)
    const [request] = await world.requests()
    assert.ok(request)
    assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
    assert.ok(!JSON.stringify(request).includes('sk-foreign'))
  })
})
