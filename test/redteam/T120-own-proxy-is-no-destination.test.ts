/**
 * The operator's own proxy is hostile, or the agent would like to use it itself: it is a way and no destination, it sees
 * addresses and ciphertext, and nothing that it says becomes an answer or a connection. T120, T15, T78, T130.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { startProxy } from '../upstream/world.ts'
import { auditLines, stateOf } from '../world/clrk.ts'
import { grepForCanary } from '../world/leaks.ts'
import { allowHosts, gateway, l4Route, mainJob, secret } from '../world/manifests.ts'
import { ATTACKER, addressOf } from '../world/names.ts'
import { createWorld } from '../world/world.ts'
import { assertOutcomes, runProbes } from './probe.ts'

const VIA = 'private.example.com'
const [V4, V6] = [addressOf(VIA), addressOf(VIA, 6)]

test('no agent reaches the proxy of its gateway itself, by no name, address or form of it', async t => {
  const world = await createWorld(t)
  const proxy = await startProxy(world, { port: 3128 })
  const everything = [
    { destinationHostnames: [VIA, 'echo.example.com'], ports: [{ port: 3128 }, { port: 22 }] },
    { destinationCIDRs: ['10.0.0.0/8', 'fd00::/8'], ports: [{ port: 3128 }, { port: 22 }] },
  ]
  for (const defaultPolicy of ['deny-all', 'allow-all']) {
    const tcp = [3128, 22].map(port => ({ name: `tcp-${port}`, protocol: 'TCP', port }))
    const spec = { defaultPolicy, listeners: tcp, upstreamProxy: { url: `http://${VIA}:3128` } }
    const outcomes = await runProbes(world, SCRIPT, { manifests: [gateway(spec), l4Route(everything)] })
    assertOutcomes(outcomes, /^(reset|closed|refused|ENETUNREACH|EHOSTUNREACH)$/, ['name', 'IPv4', 'IPv6', 'mapped'])
    assertOutcomes(outcomes, /^answered: SSH-2\.0-first/, ['another host', 'another port'])
  }
  const targets = new Set(proxy.heads().map(head => /^CONNECT (\S+)/.exec(head)?.[1]))
  assert.deepEqual([...targets].sort(), [`${V4}:22`, `${addressOf('echo.example.com')}:3128`].sort())
  assert.doesNotMatch(JSON.stringify(await world.arrivals()), new RegExp(ATTACKER.v4)) // nobody was asked for it
})

const SCRIPT = `
ask = b"CONNECT ${ATTACKER.v4}:443 HTTP/1.1\\r\\nHost: ${ATTACKER.v4}:443\\r\\n\\r\\n"
attempt("name", tcp, "${VIA}", 3128, ask)
attempt("IPv4", tcp, "${V4}", 3128, ask)
attempt("IPv6", tcp, "${V6}", 3128, ask)
attempt("mapped", tcp, "::ffff:${V4}", 3128, ask)
attempt("another host", tcp, "echo.example.com", 3128, ask)
attempt("another port", tcp, "${VIA}", 22, ask)
`

test('a hostile proxy forges no answer, sees no key, and its credential stays between the two', async t => {
  const world = await createWorld(t)
  const password = 'canary-of-the-corporate-proxy'
  const basic = Buffer.from(`agent:${password}`).toString('base64')
  const forged = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'
  const says: Readonly<Record<string, string>> = {
    'api.anthropic.com': `HTTP/1.1 200 OK\r\n\r\n${forged}`,
    'echo.example.com': `HTTP/1.1 100 Continue\r\n\r\n${forged}`,
    'other.example.com': `HTTP/1.1 101 Switching Protocols\r\nUpgrade: tls\r\n\r\n${forged}`,
    'github.com': 'HTTP/1.1 302 Found\r\nLocation: https://other.example.com/\r\n\r\n',
    'gitlab.com': `HTTP/1.1 407 ${basic}\r\nProxy-Authenticate: Basic realm="${password}"\r\n\r\n${password}`,
    'pypi.org': `HTTP/1.1 403 ${password}\r\nX: ${basic}\r\n\r\n`,
    'registry.npmjs.org': `HTTP/1.1 200 OK\r\n${password} ${basic}\x01\r\n\r\n`,
    'files.example.com': HUGE,
    'deb.debian.org': '',
  }
  const named = Object.entries(says).filter(([, said]) => said !== HUGE)
  const answers = named.flatMap(([name, said]) =>
    ([4, 6] as const).map(family => [`${bracketed(addressOf(name, family))}:443`, said]),
  )
  const proxy = await startProxy(world, { port: 3128, answers: { ...Object.fromEntries(answers), 443: HUGE } })
  const upstreamProxy = { url: `http://${VIA}:3128`, secretRef: { name: 'corp-proxy' } }
  const manifests = [
    ...mainJob(world.key, { upstreamProxy }),
    allowHosts(...Object.keys(says).filter(name => name !== 'api.anthropic.com')),
    secret('corp-proxy', { username: 'agent', password }),
  ]
  const script = `
for name in ${JSON.stringify(Object.keys(says))}:
    attempt(name, https, name, "/v1/messages")
for name in ${JSON.stringify(Object.keys(says))}:
    with tls(name, 443, name) as connection:
        connection.sendall(get(name, "/v1/messages", "Connection: close\\r\\n"))
        results["told by " + name] = connection.makefile("rb").read().decode("latin1")
`
  const outcomes = await runProbes(world, script, { manifests })
  const { 'api.anthropic.com': first, ...others } = outcomes
  assert.match(first ?? '', /^502 CLRK_UPSTREAM_TLS$/)
  assertOutcomes(others, /^502 CLRK_UPSTREAM_PROXY$/, Object.keys(says).slice(1))
  const told = JSON.stringify([outcomes, auditLines(world)])
  for (const canary of [password, basic]) {
    assert.ok(!told.includes(canary), told)
    assert.deepEqual(grepForCanary(world, canary, [stateOf(world)]), [])
  }
  assert.doesNotMatch(told, /forged/)
  assert.ok(proxy.heads().length >= 2 * Object.keys(says).length)
  assert.doesNotMatch(JSON.stringify([proxy.heads(), await world.arrivals()]), new RegExp(world.key))
  assert.deepEqual(await world.requests(), [])
})

/** A head past LIMITS.headBytes. */
const HUGE = `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(66_000)}\r\n\r\n`

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
