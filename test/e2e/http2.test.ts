/** A client that offers h2 alone (as the AWS SDK for Node and gRPC do) is served as every other: T04, T52. */
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { auditLines, clrkRun } from '../world/clrk.ts'
import { l4Route, mainJob } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { testEverywhere } from '../world/runtimes.ts'

testEverywhere(
  'HTTP/2 from inside: injected, told apart by stream, denied with the reason; without TLS refused',
  async world => {
    const hosts = l4Route([{ destinationHostnames: ['echo.example.com'], ports: [{ port: 443 }, { port: 80 }] }])
    const path = [dirname(process.execPath), '/usr/local/bin:/usr/bin:/bin'].join(':')
    const env = { PATH: path, HOME: join(world.directory, 'home'), LANG: 'C.UTF-8' }
    const manifests = [...mainJob(world.key), hosts]
    const { code, stdout, stderr } = await clrkRun(world, ['node', '-e', SCRIPT], { manifests, env })
    assert.equal(code, 0, stderr)
    const { provider, mismatch, echo, denied, plain } = JSON.parse(stdout)
    assert.equal(provider.status, 200)
    assert.match(provider.body, /"input_tokens":\s?11/)
    assert.deepEqual([mismatch.status, mismatch.code, echo.status], [421, 'CLRK_AUTHORITY_MISMATCH', 200])
    assert.deepEqual([denied.status, denied.code], [403, 'CLRK_NAME_NOT_ALLOWED'])
    assert.equal(plain, 'ECONNRESET')
    const requests = await world.requests()
    assert.deepEqual(
      requests.map(({ server, target }) => `${server}${target}`),
      ['api.anthropic.com/v1/messages', 'echo.example.com/fine'],
    )
    assert.deepEqual(valuesOf(requests[0] ?? assert.fail(), 'x-api-key'), [world.key])
    assert.ok(!`${stdout}${stderr}`.includes(world.key))
    assert.ok(auditLines(world).some(({ fault }) => fault.code === 'CLRK_PROTOCOL_NOT_ALLOWED'))
    assert.deepEqual(await world.arrivals(), [])
  },
)

const SCRIPT = `
const { connect } = require('node:http2')
const ask = (session, headers, body) => new Promise((resolve, reject) => {
  const stream = session.request({ ':method': body ? 'POST' : 'GET', ...headers })
  const said = { status: 0, code: undefined, body: '' }
  stream.on('response', h => { said.status = h[':status']; said.code = h['x-clrk-code'] })
  stream.on('data', chunk => { said.body += chunk }).on('error', reject).on('close', () => resolve(said))
  stream.end(body)
})
const open = origin => connect(origin).on('error', () => {})
async function main() {
  const anthropic = open('https://api.anthropic.com')
  const message = { model: 'claude-stand-in', max_tokens: 16, messages: [{ role: 'user', content: 'hi' }] }
  const headers = { ':path': '/v1/messages', 'content-type': 'application/json', 'x-api-key': 'clrk-injected-by-proxy' }
  const provider = await ask(anthropic, headers, JSON.stringify(message))
  const echoes = open('https://echo.example.com')
  const [mismatch, echo] = await Promise.all([
    ask(echoes, { ':authority': 'api.anthropic.com', ':path': '/v1/messages' }),
    ask(echoes, { ':path': '/fine' }),
  ])
  const denied = await ask(open('https://other.example.com'), { ':path': '/' })
  const plain = await new Promise(resolve => connect('http://echo.example.com').on('error', error => resolve(error.code)))
  console.log(JSON.stringify({ provider, mismatch, echo, denied, plain }))
  process.exit(0)
}
main()
`
