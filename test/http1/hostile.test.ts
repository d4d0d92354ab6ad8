/** Who speaks to us wants to be read in two ways, or to make us read more than there is. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { LIMITS } from '../../src/limits.ts'
import { startRig } from './rig.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

const SMUGGLED = {
  'CL.TE':
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n',
  'TE.TE':
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n',
  'two lengths':
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 31\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n',
  'two hosts': 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n',
  'space before the colon':
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 31\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n',
  'obs-fold': 'POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Content-Length: 31\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n',
  'bare LF': 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n',
  'h2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
}

for (const [name, bytes] of Object.entries(SMUGGLED)) {
  test(`refused with 400, nothing arrives, the connection ends: ${name}`, async t => {
    // T09, T25, T29
    const rig = await startRig(t)
    const agent = await rig.agent()
    agent.write(bytes)
    assert.match(await agent.closed, /^HTTP\/1\.1 400 [^\0]*\r\nconnection: close\r\n\r\nThe request was refused/)
    assert.equal(agent.text.split('HTTP/1.1 400 ').length, 2)
    assert.equal(rig.upstreams.length, 0)
    assert.deepEqual(
      rig.faults.map(fault => fault.code),
      ['CLRK_HTTP_MALFORMED'],
    )
  })
}

test('a body on GET is one request with its body, not two', async t => {
  // T27
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write(`GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: ${GET.length}\r\n\r\n${GET}`)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n', 2)
  upstream.write(OK)
  await agent.until('ok')
  assert.equal(upstream.text, `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${GET.length}\r\n\r\n${GET}`)
  assert.equal(rig.heads.length, 1)
})

test('a bad chunk or trailer is refused with 400 and never completes at the origin', async t => {
  // T28, T30
  for (const [sent, bad] of [
    ['3\r\nabc\r\n', 'x\r\n'],
    ['0\r\n', 'X_Api_Key: secret\r\n\r\n'],
    ['0\r\n', 'Authorization: secret\r\n\r\n'],
  ]) {
    const rig = await startRig(t, { decide: forward => ({ ...forward, set: [['x-api-key', 'real']] }) })
    const agent = await rig.agent()
    agent.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${sent}`)
    const upstream = await rig.nextUpstream()
    await upstream.until(`\r\n\r\n${sent}`)
    agent.write(bad ?? '')
    assert.match(await agent.closed, /^HTTP\/1\.1 400 /)
    assert.match(await upstream.closed, new RegExp(`\r\n\r\n${sent}$`))
    assert.deepEqual(
      rig.ends.map(end => end.fault?.code),
      ['CLRK_HTTP_MALFORMED'],
    )
  }
})

const BAD_RESPONSES = {
  'both framings': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
  'an unknown coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  '101 that nobody asked for':
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw',
  'control characters in the reason': 'HTTP/1.1 200 \x1b[2J\r\nContent-Length: 0\r\n\r\n',
  'a bad first chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  'a flood of interim answers': 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(LIMITS.interimResponses + 1),
  'no HTTP': 'SSH-2.0-OpenSSH\r\n\r\n',
}

for (const [name, bytes] of Object.entries(BAD_RESPONSES)) {
  test(`502 and the end of that upstream: ${name}`, async t => {
    // T37, T130
    const rig = await startRig(t)
    const agent = await rig.agent()
    agent.write(GET)
    const upstream = await rig.nextUpstream()
    await upstream.until('\r\n\r\n')
    upstream.write(bytes)
    assert.match(await agent.until('was refused'), /HTTP\/1\.1 502 CLRK_UPSTREAM_MALFORMED\r\n/)
    await upstream.closed
    assert.equal(agent.text.split('HTTP/1.1 200').length, 1)
    assert.deepEqual(rig.released, [false])
    agent.write(GET) // the agent's own connection goes on
    const next = await rig.nextUpstream()
    await next.until('\r\n\r\n')
    next.write(OK)
    await agent.until('ok')
  })
}

test('as many interim answers as the limit are passed on', async t => {
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write(GET)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(LIMITS.interimResponses)
  upstream.write(interim + OK)
  assert.equal(await agent.until('ok'), interim + OK)
})

test('a second answer, or one without a question, ends that upstream and reaches nobody', async t => {
  // T130
  const rig = await startRig(t)
  const agent = await rig.agent()
  agent.write(GET)
  const first = await rig.nextUpstream()
  await first.until('\r\n\r\n')
  first.write(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong`)
  await first.closed
  assert.deepEqual(rig.released, [false])
  agent.write(GET)
  const second = await rig.nextUpstream()
  await second.until('\r\n\r\n')
  second.write(OK)
  await agent.until('ok', 2)
  second.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong') // idle in the pool by now
  await second.closed
  assert.deepEqual(rig.released, [false, true])
  assert.equal(agent.text, OK + OK)
})
