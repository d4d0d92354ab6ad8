/** A step of a dial ends with its deadline, its race or its socket, and leaves no socket behind. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import test, { type TestContext } from 'node:test'
import { type Patience, waitFor } from '../../src/upstream/wait.ts'

/** Waits on a connection to somebody who never says a word for what never comes. */
async function start(t: TestContext, patience: Partial<Patience>) {
  const server = createServer(() => {}).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  let stopped = 0
  const waiting = waitFor(socket, { until: Number.POSITIVE_INFINITY, signal: null, ...patience }, () => () => ++stopped)
  return { socket, waiting, stopped: () => stopped }
}

test('past its moment', async t => {
  const { socket, waiting, stopped } = await start(t, { until: performance.now() + 20 })
  await assert.rejects(waiting, /timed out/)
  assert.deepEqual([socket.destroyed, stopped()], [true, 1])
})

test('where another has won meanwhile, or had won before', async t => {
  const race = new AbortController()
  const { socket, waiting, stopped } = await start(t, { until: performance.now() + 60_000, signal: race.signal })
  race.abort()
  await assert.rejects(waiting, /another address was faster/)
  assert.deepEqual([socket.destroyed, stopped()], [true, 1])
  const late = await start(t, { until: performance.now() + 60_000, signal: race.signal })
  await assert.rejects(late.waiting, /another address was faster/)
  assert.equal(late.socket.destroyed, true)
})

test('where the socket closes, or had closed', async t => {
  const { socket, waiting } = await start(t, { until: performance.now() + 60_000 })
  socket.destroy()
  await assert.rejects(waiting, /the connection was closed/)
  const again = waitFor(socket, { until: performance.now() + 60_000, signal: null }, () => () => {})
  await assert.rejects(again, /the connection was closed/)
})
