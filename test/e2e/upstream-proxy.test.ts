/** A sandbox behind a corporate proxy: its requests, plain HTTP and raw TCP all leave through it, and failures say so. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { GREETING } from '../upstream/connect-proxy.ts'
import { drop, startProxy } from '../upstream/world.ts'
import { auditLines, clrkRun, clrkSecretSet, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { grepForCanary } from '../world/leaks.ts'
import { allowHosts, gateway, l4Route, mainJob, secret } from '../world/manifests.ts'
import { addressOf } from '../world/names.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld } from '../world/world.ts'

const PASSWORD = 'canary-of-the-corporate-proxy'
const BASIC = `Basic ${Buffer.from(`agent:${PASSWORD}`).toString('base64')}`
const [PROVIDER, ECHO, GRPC] = ['api.anthropic.com', 'echo.example.com', 'grpc.example.com'].map(name =>
  addressOf(name),
)

/** A client that offers h2 alone, to an origin that speaks HTTP/1.1 and to one that speaks HTTP/2. */
const ASK_HTTP2 = `(async () => {
  for (const [origin, path] of [["https://api.anthropic.com", "/v1/messages"], ["https://grpc.example.com", "/"]]) {
    const stream = require("node:http2").connect(origin).request({ ":path": path })
    let body = ""
    for await (const chunk of stream) body += chunk
    process.stdout.write(body.replace(/.*input_tokens.*/s, "HTTP/1.1") + " ")
  }
  process.exit(0)
})()`
const SCRIPT = `
for i in 1 2; do curl -sS -o /dev/null -w '%{http_code} ' https://api.anthropic.com/v1/messages; done
curl -sS -o /dev/null -w '%{http_code} ' http://echo.example.com/
node -e '${ASK_HTTP2}'
exec 3<>/dev/tcp/echo.example.com/22; head -n 1 <&3`
/** Speaks HTTP/2 behind the stand-in's TLS. */
const HTTP2 = `require('node:http2').createServer((request, response) => response.end('HTTP/' + request.httpVersion))
  .listen(7006, '127.0.0.1', () => console.log('up'))`
const FAILING = 'curl -sS -w "%{http_code}" https://api.anthropic.com/v1/messages'

test('everything goes through the proxy of the gateway; without its credential nothing leaves, and the agent reads why', async t => {
  const world = await createWorld(t)
  await drop(world, 'meta l4proto tcp tcp dport != 3128')
  const proxy = await startProxy(world, { port: 3128, credential: BASIC })
  await world.spawnInternet([process.execPath, '-e', HTTP2]).saw(/up/)
  const run = (values: Record<string, string>, script: string) => {
    const upstreamProxy = { url: 'http://private.example.com:3128', secretRef: { name: 'corp-proxy' } }
    const echo = l4Route([{ destinationHostnames: ['echo.example.com'], ports: [{ port: 80 }, { port: 22 }] }])
    const manifests = [
      ...[...mainJob(world.key, { upstreamProxy }), echo, allowHosts('grpc.example.com')],
      secret('corp-proxy', values),
    ]
    const path = [dirname(process.execPath), '/usr/local/bin:/usr/bin:/bin'].join(':')
    const env = { PATH: path, HOME: join(world.directory, 'home'), LANG: 'C.UTF-8' }
    return clrkRun(world, ['bash', '-c', script], { manifests, env })
  }

  const { stdout, stderr } = await run({ username: 'agent', password: PASSWORD }, SCRIPT)
  assert.equal(stdout.replace('\r', ''), `200 200 200 HTTP/1.1 HTTP/2.0 ${GREETING.replace('\r', '')}`, stderr)
  const requests = await world.requests()
  assert.equal(requests.length, 4)
  for (const request of requests.filter(({ role }) => role === 'provider')) {
    assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
  }
  assert.equal(requests[0]?.connection, requests[1]?.connection) // a tunnel is pooled like any connection
  assert.doesNotMatch(JSON.stringify(requests), /proxy-authorization/i)
  const targets = proxy.heads().map(head => /^CONNECT (\S+)/.exec(head)?.[1])
  assert.deepEqual([...new Set(targets)], [`${PROVIDER}:443`, `${ECHO}:80`, `${GRPC}:443`, `${ECHO}:22`])
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

test('TLS that passes through and raw TCP leave by a proxy that speaks TLS; a reset inside ends that tunnel alone', async t => {
  const world = await createWorld(t)
  await drop(world, 'meta l4proto tcp tcp dport != 3128')
  const proxy = await startProxy(world, { port: 3128, tls: 'private.example.com' })
  const listeners = [
    { name: 'tls', protocol: 'TLS', tls: { mode: 'Passthrough' } },
    { name: 'tcp', protocol: 'TCP', port: 22 },
  ]
  const upstreamTLS = { additionalTrustBundleSecretRef: { name: 'proxy-ca' } }
  const manifests = [
    gateway({ listeners, upstreamTLS, upstreamProxy: { url: 'https://private.example.com:3128' } }),
    l4Route([{ destinationHostnames: ['echo.example.com'], ports: [{ port: 443 }, { port: 22 }] }]),
    secret('proxy-ca', { ca: proxy.authority }),
  ]
  const { stdout, stderr } = await clrkRun(world, ['python3', '-c', RESETTING], { manifests })
  assert.equal(stdout, `200\n${GREETING}200\n`.replaceAll('\r', ''), stderr)
  const targets = proxy.heads().map(head => /^CONNECT (\S+)/.exec(head)?.[1])
  assert.deepEqual(targets, [`${ECHO}:443`, `${ECHO}:22`, `${ECHO}:443`])
  assert.deepEqual(auditLines(world), [])
  assert.doesNotMatch(readFileSync(join(stateOf(world), 'worker.log'), 'utf8'), /Error|ERR_/)
})

/** Trusts the stand-ins' CA by the host's own bundle: nobody terminates. */
const RESETTING = `import http.client, socket, struct
def ask():
    connection = http.client.HTTPSConnection("echo.example.com")
    connection.request("GET", "/")
    print(connection.getresponse().status, flush=True)
ask()
raw = socket.create_connection(("echo.example.com", 22))
print(raw.recv(100).decode().strip(), flush=True)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
raw.close()
ask()
`

test('no idle tunnel outlives the credential that opened it', async t => {
  const world = await createWorld(t)
  const proxy = await startProxy(world, { port: 3128 })
  const upstreamProxy = { url: 'http://private.example.com:3128', secretRef: { name: 'corp-proxy' } }
  await startWorker(world, mainJob(world.key, { upstreamProxy }))
  await clrkSecretSet(world, 'corp-proxy', 'token=agent:first')
  const running = spawnClrkRun(world, ['bash', '-c', `for i in 1 2 3; do ${FAILING} -o /dev/null; echo; read; done`], {
    arguments: ['--gateway', 'test'],
    input: 'open',
  })
  await running.saw(/200\n/)
  running.stdin.write('\n')
  await running.saw(/200\n200\n/)
  await clrkSecretSet(world, 'corp-proxy', 'token=agent:second')
  running.stdin.write('\n')
  await running.saw(/200\n200\n200\n/)
  running.stdin.end('\n')
  await running.exited
  const shown = proxy.heads().map(head => /Basic (\S+)/.exec(head)?.[1] ?? '')
  assert.deepEqual(
    shown.map(text => Buffer.from(text, 'base64').toString()),
    ['agent:first', 'agent:second'],
  )
})
