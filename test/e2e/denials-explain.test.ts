/** A denial says what was refused, why, and the YAML that would allow it; applied, that YAML does allow it. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { auditLines, clrkRun } from '../world/clrk.ts'
import { gateway, injection, providerRoute, secret, writeManifests } from '../world/manifests.ts'
import { testEverywhere } from '../world/runtimes.ts'

const CURL = ['curl', '-sS', '--max-time', '20', '-w', '\n%{http_code} %{content_type}'] as const

testEverywhere('the YAML in a denial, applied, allows what was denied', async (world, t) => {
  const key = secret('anthropic-credentials', { 'api-key': world.key })
  const resources = [gateway(), providerRoute(), injection(), key]
  for (const [what, url, code] of [
    ['a host', 'https://other.example.com/', 'CLRK_NAME_NOT_ALLOWED'],
    ['plain HTTP', 'http://echo.example.com/', 'CLRK_PLAIN_HTTP_NOT_ALLOWED'],
    ["a provider's endpoint", 'https://api.anthropic.com/v1/models', 'CLRK_ENDPOINT_NOT_ALLOWED'],
  ] as const) {
    await t.test(what, async () => {
      const file = writeManifests(world, resources)
      const run = (more: readonly string[]) => clrkRun(world, [...CURL, url], { arguments: ['-f', file, ...more] })
      const denied = await run([])
      const [body = '', status] = denied.stdout.split(/\n(?=\d+ \S+$)/)
      assert.equal(status, '403 application/problem+json', denied.stderr)
      const problem = JSON.parse(body)
      assert.equal(problem.code, code)
      assert.equal(problem.status, 403)
      assert.match(problem.detail, /default\/test|EgressGateway test/)
      assert.match(problem.detail, new RegExp(new URL(url).hostname.replaceAll('.', '\\.')))
      assert.ok(problem.fix.length > 10)

      const allowing = join(world.directory, `allowing-${code}.yaml`)
      writeFileSync(allowing, problem.yaml)
      const allowed = await run(['-f', allowing])
      assert.doesNotMatch(
        allowed.stdout,
        /403 application\/problem\+json$/,
        `${readFileSync(allowing, 'utf8')}\n${allowed.stdout}${allowed.stderr}`,
      )
      assert.equal(
        (await world.requests()).filter(({ scheme, server, target }) => `${scheme}://${server}${target}` === url)
          .length,
        1,
      )
    })
  }
})

testEverywhere('each denial is an audit line that names sandbox, gateway and reason', async world => {
  const script =
    'curl -sS -o /dev/null https://other.example.com/secret/path?q=needle; curl -sS -m 5 telnet://198.41.0.4:22 </dev/null; true'
  const { code } = await clrkRun(world, ['sh', '-c', script])
  assert.equal(code, 0)
  const lines = auditLines(world)
  assert.ok(
    lines.some(
      ({ protocol, name, fault }) =>
        protocol === 'dns' && name === 'other.example.com' && fault.code === 'CLRK_NAME_NOT_ALLOWED',
    ),
  )
  assert.ok(lines.some(({ protocol, address, port }) => protocol === 'tcp' && address === '198.41.0.4' && port === 22))
  for (const line of lines) {
    assert.equal(line.action, 'denied')
    assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.ok(line.sandbox && line.gateway && line.why)
  }
  assert.ok(!JSON.stringify(lines).includes('needle'), 'what an agent put into a query stays out of the audit log')
})

testEverywhere('an upstream that fails is explained as well, and never trusted', async world => {
  const hosts = ['expired.example.com', 'wrong-name.example.com', 'no-such-host.example.org']
  for (const [host, code] of [
    ['expired.example.com', 'CLRK_UPSTREAM_TLS'],
    ['wrong-name.example.com', 'CLRK_UPSTREAM_TLS'],
    ['no-such-host.example.org', 'CLRK_UPSTREAM_UNRESOLVED'],
  ] as const) {
    const { stdout, stderr } = await clrkRun(world, [...CURL, `https://${host}/`], { allow: hosts })
    assert.match(stdout, /\n502 application\/problem\+json$/, stderr)
    assert.equal(JSON.parse(stdout.slice(0, stdout.lastIndexOf('\n'))).code, code)
  }
  assert.deepEqual(await world.requests(), [])
})
