/**
 * With `upstreamProxy` all that leaves goes through that proxy, by CONNECT to the address that was checked; what fails
 * on the way names its step and never the credential. RFC 9110 §9.3.6, RFC 7617.
 */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { ATTACKER, addressOf } from '../world/names.ts'
import { createWorld } from '../world/world.ts'
import { GREETING } from './connect-proxy.ts'
import type { Dial, Outcome } from './dials.ts'
import { dial, drop, freePort, startProxy } from './world.ts'

const NAME = 'echo.example.com'
const [V4, V6] = [addressOf(NAME), addressOf(NAME, 6)]
const VIA = 'private.example.com' // 10.1.2.3 and fd12::3: the operator's own proxy may be there

const HTTPS: Dial = {
  to: NAME,
  port: 443,
  tls: true,
  send: `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`,
}
const SSH: Dial = { to: NAME, port: 22, send: 'ours' }

/** A world in which nothing but a proxy on one of these ports is reachable by TCP. */
async function start(t: TestContext) {
  const world = await createWorld(t)
  await drop(world, 'meta l4proto tcp tcp dport != { 3128, 3129, 3130 }')
  return world
}

function via(url = `http://${VIA}:3128`, more = ''): string {
  return `upstreamProxy: {url: "${url}"${more}}`
}

function received(outcome: Outcome | undefined): string {
  assert.ok(outcome !== undefined && 'received' in outcome, JSON.stringify(outcome))
  return outcome.received
}

/** `CODE step: reason` of a dial that failed. */
function failure(outcome: Outcome | undefined): string {
  assert.ok(outcome !== undefined && 'code' in outcome, JSON.stringify(outcome))
  const { step, reason } = outcome.details
  return `${outcome.code} ${step}: ${reason}`
}

function asked(authority: string, more = ''): string {
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${more}\r\n`
}

test('TLS, raw TCP and addresses: asked for by checked address, bytes behind the answer kept, half-close passed', async t => {
  const world = await start(t)
  const proxy = await startProxy(world, { port: 3128 })
  const dials = [HTTPS, SSH, { to: ATTACKER.v6, port: 2222, send: 'x' }]
  const [https, ssh, address] = await dial(world, { spec: via(), dials })
  assert.match(received(https), /^HTTP\/1\.1 200 /)
  assert.equal(received(ssh), `${GREETING}ours`)
  assert.equal(received(address), `${GREETING}x`)
  assert.deepEqual(proxy.heads(), [asked(`${V4}:443`), asked(`${V4}:22`), asked(`[${ATTACKER.v6}]:2222`)])
  assert.equal((await world.requests()).length, 1)
  const ports = new Set((await world.arrivals()).map(({ port }) => port))
  assert.deepEqual([...ports], [3128])
})

test('what may not be dialled is not asked for, and an alias on loopback stays on the host', async t => {
  const world = await start(t)
  const proxy = await startProxy(world, { port: 3128 })
  const names = ['loopback', 'private', 'metadata', 'mapped', 'translated', 'worker-host'].map(n => `${n}.example.com`)
  const dials = [...names.map(to => ({ to, port: 443 })), { to: 'nowhere.example.com', port: 443 }]
  const outcomes = await dial(world, { spec: via(), dials })
  const codes = outcomes.map(outcome => ('code' in outcome ? outcome.code : outcome.received))
  assert.deepEqual(codes, [...names.map(() => 'CLRK_ADDRESS_SPECIAL'), 'CLRK_UPSTREAM_UNRESOLVED'])
  const alias = `${via()}, upstreamTLS: {hostAliases: [{ip: 127.9.9.9, hostnames: [git.corp]}]}`
  const [aliased] = await dial(world, { spec: alias, dials: [{ to: 'git.corp', port: 9 }] })
  assert.equal(aliased !== undefined && 'code' in aliased && aliased.code, 'CLRK_UPSTREAM_UNREACHABLE')
  assert.deepEqual(proxy.heads(), [])
})

test('only one well-formed 2xx opens a tunnel; anything else names the step, and the next address is asked for', async t => {
  const world = await start(t)
  const answers: Record<string, readonly [answer: string, reason: string]> = {
    2001: ['HTTP/1.1 403 no\r\n\r\n', 'it answered 403'],
    2002: ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', 'it answered 100'],
    2003: ['HTTP/1.1 301 Moved\r\nLocation: http://a/\r\n\r\n', 'it answered 301'],
    2004: ['SSH-2.0-none\r\n\r\n', 'its answer was refused (the status line is malformed)'],
    2005: ['HTTP/1.1 200 OK\n\n', 'its answer was refused (a line of the head does not end with CRLF)'],
    2006: [
      `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(70_000)}`,
      'its answer was refused (the head is larger than 65536 bytes)',
    ],
    2007: ['HTTP/1.1 200 OK\r\nA: b', 'it closed the connection'],
    2008: ['', 'it closed the connection'],
  }
  const said = Object.fromEntries(Object.entries(answers).map(([port, [answer]]) => [port, answer]))
  const proxy = await startProxy(world, { port: 3128, answers: { ...said, [`${V4}:2009`]: 'HTTP/1.1 502 no\r\n\r\n' } })
  const ports = Object.keys(answers).map(Number)
  const v4Only = `${via()}, dns: {lookupFamily: V4Only}`
  const outcomes = await dial(world, { spec: v4Only, dials: ports.map(port => ({ to: NAME, port })) })
  for (const [at, port] of ports.entries()) {
    const reason = `${answers[port]?.[1]} when asked for ${V4}:${port}`
    assert.equal(failure(outcomes[at]), `CLRK_UPSTREAM_PROXY CONNECT: ${reason}`)
  }
  const [second] = await dial(world, { spec: via(), dials: [{ to: NAME, port: 2009, send: 'x' }] })
  assert.equal(received(second), `${GREETING}x`)
  assert.deepEqual(proxy.heads().slice(-2), [asked(`${V4}:2009`), asked(`[${V6}]:2009`)])
})

test('the credential goes to the proxy alone, and without it nothing does', async t => {
  const world = await start(t)
  const pair = 'agent:pass:word-of-the-proxy'
  const basic = `Basic ${Buffer.from(pair).toString('base64')}`
  const proxy = await startProxy(world, { port: 3128, credential: basic })
  const spec = via(undefined, ', secretRef: {name: corp}')
  const attempt = async (values: Record<string, string>) => {
    const secrets = Object.fromEntries(Object.entries(values).map(([key, value]) => [`default/corp/${key}`, value]))
    const [outcome] = await dial(world, { spec, secrets, dials: [HTTPS] })
    return outcome
  }
  for (const values of [{ username: 'agent', password: 'pass:word-of-the-proxy' }, { token: pair }]) {
    assert.match(received(await attempt(values)), /^HTTP\/1\.1 200 /)
  }
  const right = asked(`${V4}:443`, `Proxy-Authorization: ${basic}\r\n`)
  assert.deepEqual(proxy.heads(), [right, right])
  assert.doesNotMatch(JSON.stringify(await world.requests()), /proxy-authorization|word-of-the-proxy/i)

  const wrong = await attempt({ token: 'agent:wrong-word' })
  assert.equal(failure(wrong), 'CLRK_UPSTREAM_PROXY CONNECT: it answered 407: it wants another credential')
  assert.doesNotMatch(JSON.stringify(wrong), /wrong-word|YWdlbnQ/) // the proxy had sent it back in its reason phrase
  assert.equal(proxy.heads().length, 3) // and is not asked again for the second address

  for (const [values, key] of [
    [{}, 'token'],
    [{ username: 'agent' }, 'password'],
    [{ password: 'p' }, 'username'],
    [{ username: 'a:b', password: 'p' }, 'username'],
    [{ username: 'agent', password: 'p\r\nX: y' }, 'password'],
    [{ token: 'no-colon' }, 'token'],
  ] as const) {
    assert.deepEqual(await attempt(values), { code: 'CLRK_SECRET_MISSING', details: { secret: 'default/corp', key } })
  }
  assert.equal(proxy.heads().length, 3)
})

test('a proxy that speaks TLS is verified before it sees anything', async t => {
  const world = await start(t)
  const right = await startProxy(world, { port: 3128, tls: VIA })
  const other = await startProxy(world, { port: 3129, tls: 'other.example.com' })
  const roots = right.authority
  const spec = via(`https://${VIA}:3128`)
  const [https, ssh] = await dial(world, { spec, roots, dials: [HTTPS, SSH] })
  assert.match(received(https), /^HTTP\/1\.1 200 /)
  assert.equal(received(ssh), `${GREETING}ours`)
  const seen = right.heads().length
  assert.equal(seen, 2)
  const [unknown] = await dial(world, { spec, dials: [HTTPS] })
  assert.match(failure(unknown), /^CLRK_UPSTREAM_PROXY TLS with it: .*certificate/)
  const [wrongName] = await dial(world, { spec: via(`https://${VIA}:3129`), roots: other.authority, dials: [HTTPS] })
  assert.match(failure(wrongName), /^CLRK_UPSTREAM_PROXY TLS with it: .*altnames/)
  const [byAddress] = await dial(world, { spec: via('https://10.1.2.3:3128'), roots, dials: [HTTPS] })
  assert.match(failure(byAddress), /^CLRK_UPSTREAM_PROXY TLS with it: .*cert/)
  assert.deepEqual([right.heads().length, other.heads().length], [seen, 0])
})

test('the certificate of the origin is verified inside the tunnel', async t => {
  const world = await start(t)
  await startProxy(world, { port: 3128 })
  const bad = ['expired.example.com', 'wrong-name.example.com'].map(to => ({ ...HTTPS, to }))
  const outcomes = await dial(world, { spec: via(), dials: bad })
  for (const outcome of outcomes) assert.match(failure(outcome), /^CLRK_UPSTREAM_TLS /)
  assert.deepEqual(await world.requests(), [])
})

test('a proxy on loopback, metadata or an address of the host is never dialled; one that is not there says so', async t => {
  const world = await start(t)
  await freePort(world, 3130)
  for (const [url, expected] of [
    ['http://127.0.0.1:3128', /^CLRK_UPSTREAM_PROXY looking up its name: 127\.0\.0\.1 is .*never dialled/],
    ['http://[::1]:3128', /^CLRK_UPSTREAM_PROXY looking up its name: ::1 is .*never dialled/],
    ['http://loopback.example.com:3128', /^CLRK_UPSTREAM_PROXY looking up its name: 127\.0\.0\.1 is .*never dialled/],
    ['http://metadata.example.com', /^CLRK_UPSTREAM_PROXY looking up its name: 169\.254\.169\.254 is .*never dialled/],
    ['http://worker-host.example.com', /^CLRK_UPSTREAM_PROXY looking up its name: .* the worker host's own/],
    ['http://nowhere.example.com', /^CLRK_UPSTREAM_PROXY looking up its name: .*ENOTFOUND/],
    [`http://${VIA}:3130`, /^CLRK_UPSTREAM_PROXY connecting to it: .*ECONNREFUSED/],
  ] as const) {
    const [outcome] = await dial(world, { spec: via(url), dials: [HTTPS] })
    assert.match(failure(outcome), expected)
  }
  const reached = (await world.arrivals()).filter(({ destination }) => /^(127|169|::1)/.test(destination))
  assert.deepEqual(reached, [])
})
