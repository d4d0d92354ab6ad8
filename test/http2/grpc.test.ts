/** gRPC unmodified: @grpc/grpc-js on both sides, the proxy between them. It offers h2 alone by ALPN. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type StatusObject,
  status,
} from '@grpc/grpc-js'
import { AUTHORITY, CANARY, NAME, startRig } from './rig.ts'

test('bidirectional echo: each message comes back before the next is sent, then trailers and status', async t => {
  const { client, seen } = await start(t, call => {
    call.on('data', (message: Buffer) => call.write(message))
    call.on('end', () => {
      const trailers = new Metadata()
      trailers.set('x-sum', '3')
      call.end(trailers)
    })
  })
  const call = bidi(client)
  for (const word of ['one', 'two', 'x'.repeat(200_000)]) {
    call.write(Buffer.from(word))
    const [message] = (await once(call, 'data')) as [Buffer]
    assert.equal(message.toString(), word)
  }
  call.end()
  const [said] = (await once(call, 'status')) as [StatusObject]
  assert.deepEqual([said.code, said.metadata.get('x-sum')], [status.OK, ['3']])
  assert.deepEqual(seen[0]?.get('x-api-key'), [CANARY])
})

test('a hundred calls at once on one connection', async t => {
  const { client } = await start(t, call => {
    call.on('data', (message: Buffer) => call.write(message))
    call.on('end', () => call.end())
  })
  const answers = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const call = bidi(client)
      call.write(Buffer.from(`${index}`))
      const [message] = (await once(call, 'data')) as [Buffer]
      call.end()
      await once(call.resume(), 'status')
      return message.toString()
    }),
  )
  assert.deepEqual(
    answers,
    Array.from({ length: 100 }, (_, index) => `${index}`),
  )
})

test('an error status, with a message and before any answer, arrives as it was meant', async t => {
  const { client } = await start(t, call => {
    call.emit('error', { code: status.NOT_FOUND, details: 'there is none: ü' })
  })
  const [error] = (await once(bidi(client).resume(), 'error')) as [StatusObject]
  assert.deepEqual([error.code, error.details], [status.NOT_FOUND, 'there is none: ü'])
})

test('cancelling reaches the server', async t => {
  const cancelled = Promise.withResolvers<void>()
  const { client } = await start(t, call => {
    call.on('cancelled', cancelled.resolve)
    call.on('data', (message: Buffer) => call.write(message))
  })
  const call = bidi(client).on('error', () => {})
  call.write(Buffer.from('hello'))
  await once(call, 'data')
  call.cancel()
  await cancelled.promise
})

const PATH = '/echo.Echo/Both'
const asIs = (message: Buffer) => message

const SERVICE: ServiceDefinition = {
  both: {
    path: PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
}

function bidi(client: Client) {
  return client.makeBidiStreamRequest<Buffer, Buffer>(PATH, asIs, asIs)
}

let last = 1

async function start(t: TestContext, both: (call: ServerDuplexStream<Buffer, Buffer>) => void) {
  const seen: Metadata[] = []
  const server = new Server()
  server.addService(SERVICE, {
    both: (call: ServerDuplexStream<Buffer, Buffer>) => {
      seen.push(call.metadata)
      both(call)
    },
  })
  const { key, cert } = AUTHORITY.leaf(NAME)
  const own = ServerCredentials.createSsl(null, [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }])
  const address = `127.23.${process.pid % 250}.${++last}`
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`${address}:443`, own, error => (error === null ? resolve() : reject(error)))
  })
  const rig = await startRig(t, address)
  const trusting = credentials.createSsl(Buffer.from(AUTHORITY.certificate))
  const options = { 'grpc.ssl_target_name_override': NAME, 'grpc.default_authority': NAME }
  const client = new Client(`127.0.0.1:${rig.port}`, trusting, options)
  t.after(() => {
    client.close()
    server.forceShutdown()
  })
  return { client, seen }
}
