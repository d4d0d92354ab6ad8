/**
 * An upstream connection that was dialled and verified under another policy or another trust serves the exchange that it
 * is busy with and no later one, however busy it was at the change; nor is its TLS session resumed. T16, T67, T90.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import test, { type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { AUTHORITY, NAME, type Rig, startRig } from '../http2/rig.ts'
import { policy } from '../policy/fixtures.ts'
import { ai, gateway } from '../resources/fixtures.ts'
import { createPublicAuthority } from '../world/certificates.ts'

let last = 200

async function startOrigin(t: TestContext) {
  const connections: number[] = []
  const held: ServerResponse[] = []
  const numbers = new WeakMap<object, number>()
  let resumed = 0
  const address = `127.22.${process.pid % 250}.${++last}`
  const server = createServer(AUTHORITY.leaf(NAME), (request, response) => {
    connections.push(numbers.get(request.socket) ?? 0)
    if (request.url === '/held') {
      response.writeHead(200).flushHeaders()
      held.push(response)
    } else response.end('done')
  })
  let count = 0
  server.on('secureConnection', (socket: TLSSocket) => {
    numbers.set(socket, ++count)
    if (socket.isSessionReused()) resumed++
  })
  server.listen(443, address)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { address, connections, held, resumed: () => resumed }
}

/** Status of one request over a connection of the agent's own; `started` hears of its first byte. */
async function ask(rig: Rig, path: string, started: () => void = () => {}): Promise<string> {
  const tls = await rig.dial(['http/1.1'])
  tls.write(`GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`)
  let text = ''
  tls.on('data', chunk => {
    if (text === '') started()
    text += chunk
  })
  await once(tls, 'end')
  return text.slice(9, 12)
}

test('what was dialled under an earlier policy is not used for another request', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address)
  const begun = Promise.withResolvers<void>()
  const busy = ask(rig, '/held', begun.resolve)
  await begun.promise
  assert.equal(await ask(rig, '/one'), '200')
  assert.equal(await ask(rig, '/two'), '200')
  assert.deepEqual(origin.connections, [1, 2, 2]) // kept and used again: the test can fail
  rig.changePolicy('requestTimeout: 10s')
  origin.held[0]?.end('late')
  assert.equal(await busy, '200')
  assert.equal(await ask(rig, '/three'), '200')
  assert.equal(await ask(rig, '/four'), '200')
  assert.deepEqual(origin.connections.slice(3), [3, 3])
  assert.equal(origin.resumed(), 1) // the second connection, under the first policy
})

test('trust that was taken away holds at once, under the same policy as well', async t => {
  const origin = await startOrigin(t)
  const rig = await startRig(t, origin.address)
  const begun = Promise.withResolvers<void>()
  const busy = ask(rig, '/held', begun.resolve)
  await begun.promise
  assert.equal(await ask(rig, '/one'), '200')
  const same = policy(
    gateway(`upstreamTLS: {hostAliases: [{hostnames: [${NAME}], ip: ${origin.address}}]}`),
    ai('own', `{provider: custom, hostnames: [${NAME}]}`),
  )
  const change = (roots: string) =>
    rig.gateway.update({ policy: same, secrets: {}, authority: '', additionalRoots: roots })
  change(AUTHORITY.certificate)
  assert.equal(await ask(rig, '/two'), '200')
  change(createPublicAuthority().certificate)
  origin.held[0]?.end('late')
  assert.equal(await busy, '200')
  assert.equal(await ask(rig, '/three'), '502')
  assert.equal(origin.connections.length, 3)
})
