/** A gRPC server whose `/clrk.Echo/Bidi` sends each message back at once. argv: port. Out: `ready`, then a line a call. */
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition } from '@grpc/grpc-js'

const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value }
const service: ServiceDefinition = {
  Bidi: {
    path: '/clrk.Echo/Bidi',
    requestStream: true,
    responseStream: true,
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  },
}
const server = new Server()
server.addService(service, {
  Bidi: (call: ServerDuplexStream<Buffer, Buffer>) => {
    process.stdout.write(`call ${call.metadata.get('x-api-key')}\n`)
    let count = 0
    call.on('data', (message: Buffer) => {
      count += 1
      call.write(message)
    })
    call.on('end', () => {
      const trailers = new Metadata()
      trailers.set('x-count', String(count))
      call.end(trailers)
    })
  },
})
const insecure = ServerCredentials.createInsecure() // a world's stand-in ends TLS
server.bindAsync(`0.0.0.0:${process.argv[2]}`, insecure, error => {
  if (error !== null) throw error
  process.stdout.write('ready\n')
})
