/** A WebSocket is what two sockets become after a handshake that both sides meant, and nothing else is. T36, T37, T130. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test, { type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { ClrkFault } from '../../src/errors.ts'
import { parseRequestHead } from '../../src/http1/head.ts'
import { readUpgrade } from '../../src/http1/websocket.ts'
import { type RigOptions, startRig } from './rig.ts'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==' // RFC 6455 §1.3, with its answer
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const FIELDS = `Upgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n`
const ASK = `GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n${FIELDS}\r\n`
const SWITCH = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n`
const SWITCHED = `HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ${ACCEPT}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** Forwards what is a proper handshake as one, offering `subprotocols`. */
function startUpgradeRig(t: TestContext, subprotocols: readonly string[] = [], options: RigOptions = {}) {
  return startRig(t, {
    decide: (forward, head) => {
      const upgrade = readUpgrade(head)
      assert.ok(upgrade === null || 'key' in upgrade)
      return { ...forward, upgrade: upgrade === null ? null : { ...upgrade, subprotocols } }
    },
    ...options,
  })
}

async function opened(t: TestContext, options: RigOptions = {}) {
  const rig = await startUpgradeRig(t, [], options)
  const agent = await rig.agent()
  agent.write(ASK)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  upstream.write(`${SWITCH}\r\n`)
  await agent.until('\r\n\r\n')
  return { rig, agent, upstream }
}

test('the handshake goes out as one, with the credential and the subprotocols that are left', async t => {
  const rig = await startRig(t, {
    decide: forward => ({
      ...forward,
      remove: name => name === 'authorization',
      set: [['authorization', 'Bearer real']],
      upgrade: { key: KEY, subprotocols: ['realtime', 'v2'] },
    }),
  })
  const agent = await rig.agent()
  const extra =
    'Authorization: Bearer no\r\nSec-WebSocket-Protocol: realtime, openai-insecure-api-key.x\r\nsec_websocket_protocol: v2\r\n'
  agent.write(
    ASK.replace(
      'Sec-WebSocket-Version',
      `${extra}Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Version`,
    ),
  )
  const upstream = await rig.nextUpstream()
  assert.equal(
    await upstream.until('\r\n\r\n'),
    `GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n` +
      'Sec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Protocol: realtime, v2\r\nauthorization: Bearer real\r\n\r\n',
  )
  upstream.write(`${SWITCH}Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n`)
  assert.match(
    await agent.until('\r\n\r\n'),
    /^HTTP\/1\.1 101 .*Sec-WebSocket-Protocol: v2\r\n.*permessage-deflate\r\n/s,
  )
})

test('bytes that came early, behind the request or behind the 101, arrive, cut anywhere', async t => {
  const early = '\x81\x02hi\r\n\r\nGET / HTTP/1.1\r\n\r\n'
  const answer = `${SWITCH}\r\n${early}`
  const sent = ASK + early
  let cut = 0
  const rig = await startUpgradeRig(t, [], {
    origin: peer =>
      void peer.until('\r\n\r\n').then(async () => {
        peer.write(answer.slice(0, cut))
        await turn()
        peer.write(answer.slice(cut))
      }),
  })
  for (cut = 1; cut < Math.max(answer.length, sent.length); cut += 3) {
    const agent = await rig.agent()
    agent.write(sent.slice(0, cut))
    await turn()
    agent.write(sent.slice(cut))
    assert.equal(await agent.until(early), `${SWITCHED}\r\n${early}`)
    assert.ok((await rig.upstreams.at(-1)?.until(early))?.endsWith(`\r\n\r\n${early}`))
    agent.socket.destroy()
  }
})

const FAKE_SWITCHES: Readonly<Record<string, string>> = {
  'another Upgrade': SWITCH.replace('WebSocket\r\n', 'h2c\r\n'),
  'two protocols': SWITCH.replace('WebSocket\r\n', 'websocket, h2c\r\n'),
  'no Upgrade': SWITCH.replace('Upgrade: WebSocket\r\n', ''),
  'no Connection': SWITCH.replace('Connection: upgrade\r\n', ''),
  'no accept': SWITCH.replace(/Sec-WebSocket-Accept.*\r\n/, ''),
  'a wrong accept': SWITCH.replace(ACCEPT, createHash('sha1').update(KEY).digest('base64')),
  'the key as accept': SWITCH.replace(ACCEPT, KEY),
  'accept in another case': SWITCH.replace(ACCEPT, ACCEPT.toLowerCase()),
  'accept twice': `${SWITCH}Sec-WebSocket-Accept: ${ACCEPT}\r\n`,
  'a subprotocol that was not offered': `${SWITCH}Sec-WebSocket-Protocol: other\r\n`,
  'two subprotocols': `${SWITCH}Sec-WebSocket-Protocol: mine\r\nSec-WebSocket-Protocol: mine\r\n`,
  'a list of subprotocols': `${SWITCH}Sec-WebSocket-Protocol: mine, mine\r\n`,
  'a body of its own': `${SWITCH}Content-Length: 0\r\n`,
  'HTTP/1.0': SWITCH.replace('HTTP/1.1', 'HTTP/1.0'),
}

for (const [name, answer] of Object.entries(FAKE_SWITCHES)) {
  test(`a 101 that does not answer the handshake is a 502 and passes no byte: ${name}`, async t => {
    const rig = await startUpgradeRig(t, ['mine'])
    const agent = await rig.agent()
    agent.write(ASK)
    const upstream = await rig.nextUpstream()
    await upstream.until('\r\n\r\n')
    upstream.write(`${answer}\r\nraw bytes`)
    agent.write('raw bytes')
    assert.match(await agent.closed, /^HTTP\/1\.1 502 CLRK_UPSTREAM_MALFORMED\r\n.*connection: close\r\n/s)
    assert.doesNotMatch(agent.text, /raw bytes|HTTP\/1\.1 101/)
    assert.doesNotMatch(await upstream.closed, /raw bytes/)
    assert.deepEqual(rig.released, [false])
  })
}

test('an origin that refuses the upgrade is heard, and the connections go on', async t => {
  const rig = await startUpgradeRig(t)
  const agent = await rig.agent()
  agent.write(ASK)
  const upstream = await rig.nextUpstream()
  await upstream.until('\r\n\r\n')
  const refusal = 'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno'
  upstream.write(refusal)
  assert.equal(await agent.until('no'), refusal)
  agent.write(GET)
  assert.match(await upstream.until('\r\n\r\n', 2), /GET \/ HTTP\/1.1\r\nHost: a\r\n\r\n$/)
  upstream.write(OK)
  await agent.until('ok')
  assert.deepEqual(rig.released, [true, true])
})

test('a pooled connection may become one, is replaced when it is stale, and is never pooled again', async t => {
  const rig = await startUpgradeRig(t, [], { allowHalfOpen: true })
  const agent = await rig.agent()
  for (const stale of [true, false]) {
    agent.write(GET)
    const pooled = await rig.nextUpstream()
    await pooled.until('\r\n\r\n')
    pooled.write(OK)
    await agent.until('ok', stale ? 1 : 2)
    if (!stale) break
    agent.write(ASK)
    await pooled.until('websocket')
    pooled.socket.resetAndDestroy()
    const fresh = await rig.nextUpstream()
    await fresh.until('websocket')
    fresh.write('HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    await agent.until('503')
  }
  agent.write(ASK)
  const upstream = rig.upstreams.at(-1)
  await upstream?.until('websocket')
  upstream?.write(`${SWITCH}\r\n`)
  await agent.until(SWITCHED)
  agent.socket.end('bye')
  await upstream?.until('bye')
  upstream?.socket.end('bye')
  assert.match(await agent.closed, /bye$/)
  assert.deepEqual(rig.released, [true, false, false, true, false])
  assert.equal(rig.idle.length, 0)
})

test('what fills one side pauses the other, and all of it arrives', async t => {
  const { rig, agent, upstream } = await opened(t)
  const block = Buffer.alloc(1 << 20, 'x')
  for (const [from, to, back] of [
    [agent, upstream, rig.served[0]],
    [upstream, agent, undefined],
  ] as const) {
    to.socket.pause()
    for (let sent = 0; sent < 64; sent++) from.socket.write(block)
    for (let quiet = 0, before = -1; quiet < 50; await turn()) {
      quiet = from.socket.bytesWritten - from.socket.writableLength === before ? quiet + 1 : 0
      before = from.socket.bytesWritten - from.socket.writableLength
    }
    assert.ok(from.socket.writableLength > 0, 'it took all of it')
    if (back !== undefined) assert.ok(back.isPaused())
    to.text = ''
    to.socket.removeAllListeners('data')
    let received = 0
    const all = new Promise<void>(resolve => {
      to.socket.on('data', chunk => {
        received += chunk.length
        if (received === 64 << 20) resolve()
      })
    })
    to.socket.resume()
    await all
  }
  agent.socket.end()
  upstream.socket.end()
  await agent.closed
  assert.deepEqual(
    rig.ends.map(({ bytesUp, bytesDown }) => [bytesUp, bytesDown]),
    [[64 << 20, 64 << 20]],
  )
})

for (const allowHalfOpen of [true, false]) {
  test(`ends pass in order with all that was said before (${allowHalfOpen ? 'half-open' : 'full'})`, async t => {
    const first = await opened(t, { allowHalfOpen })
    first.agent.socket.end('last words')
    assert.match(await first.upstream.closed, /last words$/)
    if (allowHalfOpen) {
      first.upstream.socket.end('answer')
      assert.match(await first.agent.closed, /answer$/)
    } else {
      first.upstream.socket.end()
      await first.agent.closed
    }
    const second = await opened(t, { allowHalfOpen })
    second.agent.socket.pause()
    const served = second.rig.served[0] ?? assert.fail()
    const block = 'x'.repeat(16_000)
    let sent = 0
    for (; served.writableLength === 0; sent++) {
      const before = served.bytesWritten
      second.upstream.write(block)
      while (served.bytesWritten < before + block.length) await turn()
    }
    second.upstream.socket.end('last words')
    while (second.rig.released.length === 0) await turn()
    second.agent.socket.resume()
    assert.ok((await second.agent.closed).endsWith(`\r\n\r\n${block.repeat(sent)}last words`))
    second.agent.socket.end()
    await second.upstream.closed
    for (const { rig } of [first, second]) {
      while (rig.ends.length === 0 || rig.released.length === 0) await turn()
      assert.deepEqual(
        rig.ends.map(({ fault, aborted }) => ({ fault, aborted })),
        [{ fault: null, aborted: false }],
      )
      assert.deepEqual(rig.released, [false])
    }
  })
}

test('a reset on one side ends the other', async t => {
  const first = await opened(t)
  first.agent.socket.resetAndDestroy()
  await first.upstream.closed
  assert.deepEqual(
    first.rig.ends.map(({ aborted }) => aborted),
    [true],
  )
  const second = await opened(t)
  second.upstream.socket.resetAndDestroy()
  await second.agent.closed
  assert.deepEqual(
    second.rig.ends.map(({ fault }) => fault?.code),
    ['CLRK_UPSTREAM_MALFORMED'],
  )
  assert.equal(second.agent.text, `${SWITCHED}\r\n`)
})

test('silence past the idle limit ends both', async t => {
  const { rig, agent, upstream } = await opened(t, { session: { streamIdleMs: 30 } })
  await Promise.all([agent.closed, upstream.closed])
  assert.deepEqual(
    rig.ends.map(({ fault }) => fault?.code),
    ['CLRK_UPSTREAM_TIMEOUT'],
  )
})

test('only a whole handshake asks for a WebSocket; other protocols are refused', () => {
  const read = (head: string) => {
    const parsed = parseRequestHead(Buffer.from(head.slice(0, -2)))
    assert.ok(parsed.kind === 'request', head)
    return readUpgrade(parsed)
  }
  const codeOf = (result: ReturnType<typeof read>) => (result as ClrkFault | null)?.code ?? result
  assert.deepEqual(read(ASK), { key: KEY, subprotocols: [] })
  const offers = 'Sec-WebSocket-Protocol: a ,b\r\nSec-WebSocket-Protocol: c\r\n'
  assert.deepEqual(read(ASK.replace('Upgrade: w', `${offers}Upgrade: W`)), { key: KEY, subprotocols: ['a', 'b', 'c'] })
  assert.deepEqual(read(ASK.replace('Host', 'Content-Length: 0\r\nHost')), { key: KEY, subprotocols: [] })
  for (const other of ['h2c', 'websocket, h2c', 'h2c, websocket', 'TLS/1.0', 'websocket/13', 'xwebsocket', '']) {
    const head = ASK.replace('Upgrade: websocket', `Upgrade: ${other}`)
    assert.equal(codeOf(read(head)), 'CLRK_UPGRADE_NOT_ALLOWED', other)
  }
  for (const [from, to] of [
    ['GET', 'POST'],
    ['Version: 13', 'Version: 8'],
    ['Version: 13', 'Version: 13, 8'],
    ['Sec-WebSocket-Version: 13\r\n', ''],
    ['Sec-WebSocket-Version: 13\r\n', 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n'],
    [KEY, ''],
    [KEY, 'c2hvcnQ='],
    [KEY, KEY.replace('==', '=')],
    [KEY, KEY.replace('d', '-')],
    ['Upgrade: websocket', `Upgrade: websocket\r\nSec-WebSocket-Key: ${KEY}`],
    ['Upgrade: websocket', 'Upgrade: websocket\r\nContent-Length: 1'],
    ['Upgrade: websocket', 'Upgrade: websocket\r\nTransfer-Encoding: chunked'],
    ['Upgrade: websocket', 'Upgrade: websocket\r\nSec-WebSocket-Protocol: a b'],
  ] as const) {
    assert.equal(codeOf(read(ASK.replace(from, to))), 'CLRK_HTTP_MALFORMED', to)
  }
  for (const plain of [ASK.replace('keep-alive, Upgrade', 'keep-alive'), ASK.replace('HTTP/1.1', 'HTTP/1.0'), GET]) {
    assert.equal(read(plain), null)
  }
})
