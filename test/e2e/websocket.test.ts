/** A WebSocket from inside, by Node's own client: injected where a route says so, plain where a rule allows it. T36, T38. */
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { auditLines, clrkRun, REPOSITORY } from '../world/clrk.ts'
import { gateway, injection, l4Route, providerRoute, secret } from '../world/manifests.ts'
import { NAMES } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'

const [PROVIDER, PLAIN] = ['files.example.com', 'gitlab.com'] as const

testEverywhere('a WebSocket from inside: the credential on its handshake, its messages as they are', async world => {
  const ports = [PROVIDER, PLAIN].map(name => {
    const standIn = NAMES[name]
    return standIn?.role === 'service' ? standIn.port : assert.fail()
  })
  const server = world.spawnInternet([process.execPath, '-e', SERVER, ...ports.map(String)], { cwd: REPOSITORY })
  await server.saw(/ready/)
  const path = [dirname(process.execPath), '/usr/local/bin:/usr/bin:/bin'].join(':')
  const { code, stdout, stderr } = await clrkRun(world, ['node', '-e', CLIENT], {
    env: { PATH: path, HOME: join(world.directory, 'home'), LANG: 'C.UTF-8' },
    manifests: [
      gateway(),
      providerRoute({ provider: 'custom', hostnames: [PROVIDER], endpoints: ['/v1/realtime'] }, 'realtime'),
      injection('realtime'),
      secret('realtime-credentials', { 'api-key': world.key }),
      l4Route([{ destinationHostnames: [PLAIN], ports: [{ port: 443 }] }]),
    ],
  })
  assert.equal(code, 0, stderr)
  assert.deepEqual(JSON.parse(stdout), {
    provider: { protocol: 'realtime', messages: 1000, bytes: 8 << 20, same: true, code: 4321 },
    plain: { protocol: '', messages: 1000, bytes: 8 << 20, same: true, code: 4321 },
    endpoint: 'error',
    host: 'error',
    h2c: 'HTTP/1.1 403 CLRK_UPGRADE_NOT_ALLOWED',
  })
  const handshakes = server
    .written()
    .stdout.split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as Record<string, string>)
  assert.deepEqual(
    handshakes.map(headers => [headers.host, headers['x-api-key'], headers['sec-websocket-protocol']]),
    [
      [PROVIDER, world.key, 'realtime'],
      [PLAIN, undefined, undefined],
    ],
  )
  assert.ok(!`${stdout}${stderr}`.includes(world.key))
  assert.deepEqual(
    new Set(auditLines(world).map(({ fault }) => fault.code)),
    new Set(['CLRK_ENDPOINT_NOT_ALLOWED', 'CLRK_NAME_NOT_ALLOWED', 'CLRK_UPGRADE_NOT_ALLOWED']),
  )
  assert.deepEqual(await world.arrivals(), [])
})

const SERVER = `
const { WebSocketServer } = require('ws')
for (const port of process.argv.slice(1)) {
  const server = new WebSocketServer({ port: Number(port), host: '127.0.0.1', perMessageDeflate: true, maxPayload: 1 << 26 })
  server.on('connection', (socket, request) => {
    console.log(JSON.stringify(request.headers))
    socket.on('message', (data, binary) => String(data) === 'end' ? socket.close(4321) : socket.send(data, { binary }))
  })
}
console.log('ready')
`

const CLIENT = `
const { randomBytes } = require('node:crypto')
const { connect } = require('node:tls')
const talk = (url, protocols) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url, protocols)
  socket.binaryType = 'arraybuffer'
  const large = randomBytes(8 << 20)
  let [messages, bytes, same] = [0, 0, true]
  socket.onerror = () => resolve('error')
  socket.onopen = () => {
    for (let number = 0; number < 1000; number++) socket.send('message ' + number)
    socket.send(large)
  }
  socket.onmessage = ({ data }) => {
    if (typeof data === 'string') return void (same = same && data === 'message ' + messages++)
    bytes = data.byteLength
    same = same && large.equals(Buffer.from(data))
    socket.send('end')
  }
  socket.onclose = ({ code }) => resolve({ protocol: socket.protocol, messages, bytes, same, code })
})
const upgrade = (name, fields) => new Promise((resolve, reject) => {
  const socket = connect(443, name, { servername: name }, () => socket.write('GET / HTTP/1.1\\r\\nHost: ' + name + '\\r\\n' + fields + '\\r\\n\\r\\n'))
  let text = ''
  socket.on('data', chunk => { text += chunk }).on('error', reject)
  socket.on('end', () => resolve(text.slice(0, 13) + /x-clrk-code: (.*)\\r/.exec(text)?.[1]))
})
async function main() {
  const credential = 'openai-insecure-api-key.clrk-injected-by-proxy'
  console.log(JSON.stringify({
    provider: await talk('wss://${PROVIDER}/v1/realtime', ['realtime', credential]),
    plain: await talk('wss://${PLAIN}/'),
    endpoint: await talk('wss://${PROVIDER}/v1/other'),
    host: await talk('wss://other.example.com/'),
    h2c: await upgrade('${PLAIN}', 'Connection: Upgrade, HTTP2-Settings\\r\\nUpgrade: h2c\\r\\nHTTP2-Settings: AAAA'),
  }))
  process.exit(0)
}
main()
`
