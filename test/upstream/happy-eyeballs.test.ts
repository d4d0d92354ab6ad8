/** A dead address of a host is not waited for: the next one is dialled beside it. RFC 8305. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { clrkRun } from '../world/clrk.ts'
import { allowHosts, gateway, l4Route } from '../world/manifests.ts'
import { addressOf } from '../world/names.ts'
import { createWorld } from '../world/world.ts'
import { dial, drop } from './world.ts'

const NAME = 'echo.example.com'
const [V4, V6] = [addressOf(NAME), addressOf(NAME, 6)]

/** Less than LIMITS.upstreamConnectMs: who waits for the dead address does not get an answer in it. */
const PATIENCE = ['--max-time', '10']

test('a host whose first address is dead is reached by its second, and by a lookupFamily that has it alone', async t => {
  const world = await createWorld(t)
  await drop(world, `ip daddr ${V4}`)
  const to = { to: NAME, port: 443, tls: true, send: `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n` }
  for (const family of ['V4Preferred', 'V6Only', 'Auto']) {
    const [outcome] = await dial(world, { spec: `dns: {lookupFamily: ${family}}`, dials: [to] })
    assert.ok(outcome !== undefined && 'remote' in outcome, JSON.stringify(outcome))
    assert.equal(outcome.remote, V6)
    assert.match(outcome.received, /^HTTP\/1\.1 200 /)
  }
  const script = ['curl', '-sS', ...PATIENCE, '-o', '/dev/null', '-w', '%{http_code}', `https://${NAME}/`]
  const { stdout, stderr } = await clrkRun(world, script, { manifests: [gateway(), allowHosts(NAME)] })
  assert.equal(stdout, '200', stderr)
  assert.equal((await world.requests()).length, 4) // one each, whoever else was dialled
})

test('a second address that may not be dialled is not, however dead the first is', async t => {
  const world = await createWorld(t)
  // Its addresses are 10.1.2.3, opened here, and fd12::3, which no rule opens.
  await drop(world, 'ip daddr 10.1.2.3')
  const matches = [
    { destinationHostnames: ['private.example.com'], ports: [{ port: 443 }] },
    { destinationCIDRs: ['10.1.2.0/24'], ports: [{ port: 443 }] },
  ]
  await clrkRun(world, ['curl', '-sS', '--max-time', '3', 'https://private.example.com/'], {
    manifests: [gateway(), l4Route(matches)],
  })
  const destinations = new Set((await world.arrivals()).map(({ destination }) => destination))
  assert.deepEqual([...destinations], ['10.1.2.3'])
})
