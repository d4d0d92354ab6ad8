/** A sandbox behind a corporate proxy: its requests, plain HTTP and raw TCP all leave through it, and failures say so. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { GREETING } from '../upstream/connect-proxy.ts'
import { drop, startProxy } from '../upstream/world.ts'
import { auditLines, clrkRun, stateOf } from '../world/clrk.ts'
import { grepForCanary } from '../world/leaks.ts'
import { l4Route, mainJob, secret } from '../world/manifests.ts'
import { addressOf } from '../world/names.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld } from '../world/world.ts'

const PASSWORD = 'canary-of-the-corporate-proxy'
const BASIC = `Basic ${Buffer.from(`agent:${PASSWORD}`).toString('base64')}`
const [PROVIDER, ECHO] = [addressOf('api.anthropic.com'), addressOf('echo.example.com')]

const SCRIPT = `
for i in 1 2; do curl -sS -o /dev/null -w '%{http_code} ' https://api.anthropic.com/v1/messages; done
curl -sS -o /dev/null -w '%{http_code} ' --http2-prior-knowledge https://api.anthropic.com/v1/messages
curl -sS -o /dev/null -w '%{http_code} ' http://echo.example.com/
exec 3<>/dev/tcp/echo.example.com/22; head -n 1 <&3`
const FAILING = 'curl -sS -w "%{http_code}" https://api.anthropic.com/v1/messages'

test('everything goes through the proxy of the gateway; without its credential nothing leaves, and the agent reads why', async t => {
  const world = await createWorld(t)
  await drop(world, 'meta l4proto tcp tcp dport != 3128')
  const proxy = await startProxy(world, { port: 3128, credential: BASIC })
  const run = (values: Record<string, string>, script: string) => {
    const upstreamProxy = { url: 'http://private.example.com:3128', secretRef: { name: 'corp-proxy' } }
    const echo = l4Route([{ destinationHostnames: ['echo.example.com'], ports: [{ port: 80 }, { port: 22 }] }])
    const manifests = [...mainJob(world.key, { upstreamProxy }), echo, secret('corp-proxy', values)]
    return clrkRun(world, ['bash', '-c', script], { manifests })
  }

  const { stdout, stderr } = await run({ username: 'agent', password: PASSWORD }, SCRIPT)
  assert.equal(stdout.replace('\r', ''), `200 200 200 200 ${GREETING.replace('\r', '')}`, stderr)
  const requests = await world.requests()
  assert.equal(requests.length, 4)
  for (const request of requests.filter(({ role }) => role === 'provider')) {
    assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
  }
  assert.equal(requests[0]?.connection, requests[1]?.connection) // a tunnel is pooled like any connection
  assert.doesNotMatch(JSON.stringify(requests), /proxy-authorization/i)
  const targets = proxy.heads().map(head => /^CONNECT (\S+)/.exec(head)?.[1])
  assert.deepEqual([...new Set(targets)], [`${PROVIDER}:443`, `${ECHO}:80`, `${ECHO}:22`])
  assert.ok(proxy.heads().every(head => head.includes(`\r\nProxy-Authorization: ${BASIC}\r\n`)))

  const before = proxy.heads().length
  const wrong = await run({ token: 'agent:another-canary' }, FAILING)
  assert.match(wrong.stdout, /CLRK_UPSTREAM_PROXY.*CONNECT failed: it answered 407.*502$/s)
  assert.equal(proxy.heads().length, before + 1)
  const missing = await run({ unused: 'x' }, FAILING)
  assert.match(missing.stdout, /CLRK_SECRET_MISSING.*default\/corp-proxy.*503$/s)
  assert.equal(proxy.heads().length, before + 1)

  const told = JSON.stringify([wrong, missing, auditLines(world)])
  for (const canary of [PASSWORD, BASIC.slice(6), 'another-canary']) {
    assert.doesNotMatch(told, new RegExp(canary))
    assert.deepEqual(grepForCanary(world, canary, [stateOf(world)]), [])
  }
})
