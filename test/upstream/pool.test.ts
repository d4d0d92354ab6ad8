/** Idle connections to one upstream: the last that came back serves next, and no more wait than the limit says. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { createServer, type TLSSocket } from 'node:tls'
import { LIMITS } from '../../src/limits.ts'
import { upstreamTrust } from '../../src/upstream/dial.ts'
import { createPool, type Lease } from '../../src/upstream/pool.ts'
import { host, policy } from '../policy/fixtures.ts'
import { gateway } from '../resources/fixtures.ts'
import { createPublicAuthority } from '../world/certificates.ts'
import { eventually } from '../world/eventually.ts'

const NAME = host('api.origin.test')
const AUTHORITY = createPublicAuthority()

async function start(t: TestContext, address: string) {
  const accepted: TLSSocket[] = []
  const server = createServer(AUTHORITY.leaf(NAME), socket => {
    accepted.push(socket.on('error', () => {}))
    socket.resume()
  })
  server.listen(443, address)
  await once(server, 'listening')
  const alias = `upstreamTLS: {hostAliases: [{hostnames: [${NAME}], ip: ${address}}]}`
  const context = {
    policy: policy(gateway(`defaultPolicy: allow-all, ${alias}`)),
    trust: upstreamTrust(AUTHORITY.certificate),
    hostAddresses: new Set<string>(),
    secretOf: () => undefined,
  }
  const pool = createPool(() => context)
  const leases: Lease[] = []
  t.after(() => {
    pool.close()
    for (const { socket } of leases) socket.destroy()
    for (const socket of accepted) socket.destroy()
    server.close()
  })
  const acquire = async (fresh = false): Promise<Lease> => {
    const lease = await pool.acquire(NAME, 443, fresh)
    leases.push(lease)
    return lease
  }
  return { acquire, accepted }
}

test('last in, first out; a fresh one is dialled although others wait', async t => {
  const { acquire, accepted } = await start(t, `127.23.${process.pid % 250}.1`)
  const leases = [await acquire(), await acquire(), await acquire()]
  for (const lease of leases) lease.release(true)
  const again = [await acquire(), await acquire(), await acquire()]
  assert.deepEqual(
    again.map(({ socket }) => socket),
    leases.map(({ socket }) => socket).toReversed(),
  )
  assert.deepEqual(
    again.map(({ fresh }) => fresh),
    [false, false, false],
  )
  again[0]?.release(true)
  assert.notEqual((await acquire(true)).socket, again[0]?.socket)
  await eventually(() => accepted.length === 4 || null)
})

test('what the upstream closed, or what was not reusable, serves nobody', async t => {
  const { acquire, accepted } = await start(t, `127.23.${process.pid % 250}.2`)
  const closed = await acquire()
  const accepting = await eventually(() => accepted[0])
  const spoilt = await acquire()
  closed.release(true)
  spoilt.release(false)
  assert.equal(spoilt.socket.destroyed, true)
  const ended = once(closed.socket, 'close')
  accepting.destroy()
  closed.socket.resume() // as HTTP/1.1 leaves it
  await ended
  const next = await acquire()
  assert.equal(next.fresh, true)
})

test('past the limit the one that waited longest is closed', async t => {
  const { acquire } = await start(t, `127.23.${process.pid % 250}.3`)
  const leases = await Promise.all(Array.from({ length: LIMITS.upstreamIdlePerKey + 1 }, () => acquire()))
  for (const lease of leases) lease.release(true)
  assert.equal(leases[0]?.socket.destroyed, true)
  assert.equal(leases.filter(({ socket }) => socket.destroyed).length, 1)
})
