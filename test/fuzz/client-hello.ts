/** Any bytes: no throw, honest `more`, and a name that is one. */
import assert from 'node:assert/strict'
import { readClientHello } from '../../src/tls/client-hello.ts'
import { clientHello, records } from '../tls/hello-bytes.ts'

export const target = {
  name: 'client-hello',
  seeds: [
    records(clientHello({ serverName: 'api.anthropic.com', alpn: ['h2', 'http/1.1'] }), 16_384),
    records(clientHello({ serverName: 'a.test', ech: true }), 7),
    records(clientHello({ serverName: null }), 1),
  ] as readonly Buffer[],
  maximumBytes: 2_048,
  run(bytes: Buffer): void {
    const result = readClientHello(bytes)
    if (result.kind === 'more') assert.ok(result.bytes > bytes.length)
    if (result.kind !== 'hello') return
    const { serverName, serverNameProblem } = result
    if (serverName !== null) assert.match(serverName, /^[a-z0-9_-][a-z0-9._-]{0,252}$/)
    assert.ok(serverName === null || serverNameProblem === null)
    // What is behind the hello changes nothing, and without its last byte it is not complete.
    assert.deepEqual(readClientHello(Buffer.concat([bytes, Buffer.from('early data')])), result)
  },
}
