/** gRPC with both of its implementations: messages go back and forth one by one, trailers come last. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, REPOSITORY, startWorker } from '../world/clrk.ts'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment, makeProject, portOf } from './tools.ts'

test('a bidirectional stream, with @grpc/grpc-js and with Python grpcio', async t => {
  const world = await createWorld(t)
  const workspace = makeProject(world)
  const script = join(REPOSITORY, 'test/compat/grpc-server.ts')
  const server = world.spawnInternet([process.execPath, script, String(portOf('grpc.example.com'))])
  await server.saw(/^ready$/m)
  await startWorker(world, [])
  const manifests = [
    gateway(),
    providerRoute({ provider: 'custom', hostnames: ['grpc.example.com'] }, 'grpc'),
    injection('grpc'),
    secret('grpc-credentials', { 'api-key': world.key }),
  ]
  const options = { manifests, workspace, cwd: workspace, env: callerEnvironment(world) }
  for (const [client, argv] of Object.entries({
    '@grpc/grpc-js': ['node', '-e', JAVASCRIPT],
    grpcio: ['python', '-c', PYTHON],
  })) {
    await t.test(client, async () => {
      const { code, stdout, stderr } = await clrkRun(world, argv, options)
      assert.equal(code, 0, stderr)
      assert.deepEqual(stdout.trim().split('\n'), ['5', '5', '300000', 'trailer 3'])
    })
  }
  assert.equal(server.written().stdout, `ready\n${`call ${world.key}\n`.repeat(2)}`)
})

/** Each message is sent when the one before has come back: whoever collects them first never ends. */
const JAVASCRIPT = `
const { Client, credentials } = require('@grpc/grpc-js')
const { once } = require('node:events')
async function main() {
  const client = new Client('grpc.example.com', credentials.createSsl())
  const same = value => value
  const call = client.makeBidiStreamRequest('/clrk.Echo/Bidi', same, same)
  for (const word of ['hello', 'again', 'x'.repeat(300000)]) {
    call.write(Buffer.from(word))
    const [message] = await once(call, 'data')
    console.log(message.length)
  }
  call.end()
  call.resume()
  const [{ metadata }] = await once(call, 'status')
  console.log('trailer', metadata.get('x-count')[0])
  client.close()
}
main()
`
const PYTHON = `
import grpc, queue
with grpc.secure_channel("grpc.example.com:443", grpc.ssl_channel_credentials()) as channel:
    outgoing = queue.Queue()
    call = channel.stream_stream("/clrk.Echo/Bidi")(iter(outgoing.get, None))
    for word in [b"hello", b"again", b"x" * 300000]:
        outgoing.put(word)
        print(len(next(call)))
    outgoing.put(None)
    assert list(call) == []
    print("trailer", dict(call.trailing_metadata())["x-count"])
`
