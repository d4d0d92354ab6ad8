/** Neither a wide CIDR nor an allowed name opens loopback, metadata, private or the host's own addresses. T14–T17, T126, T131. */
import assert from 'node:assert/strict'
import { gateway, l4Route } from '../world/manifests.ts'
import { ATTACKER, HOST_ADDRESSES } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes, USERS } from './probe.ts'

const SPECIAL = [
  ...['10.1.2.3', '172.16.0.1', '192.168.1.1', '100.64.9.9', '100.100.100.200', '198.18.9.9', '192.0.0.1', '0.0.0.1'],
  ...['169.254.169.254', '169.254.170.2', '240.0.0.1', HOST_ADDRESSES.v4],
  ...[
    'fd12::3',
    'fd00:ec2::254',
    'fe80::1',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
    '::ffff:10.1.2.3',
    HOST_ADDRESSES.v6,
  ],
]
const EVERYWHERE = [gateway(), l4Route([{ destinationCIDRs: ['0.0.0.0/0', '::/0'] }])]

for (const user of USERS) {
  testEverywhere(`0.0.0.0/0 and ::/0 open the public internet, no more (user ${user})`, async world => {
    const service = world.spawnHost(['python3', '-c', HOST_SERVICE])
    await service.saw(/up/)
    const outcomes = await runProbes(world, script([...SPECIAL, '127.0.0.1', '::1'], [ATTACKER.v4, ATTACKER.v6]), {
      manifests: EVERYWHERE,
      user,
    })
    const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
    assertOutcomes(
      outcomes,
      /^(reset|refused|403 .*|EINVAL|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL)$/,
      named(/^special/),
    )
    const arrivals = await world.arrivals()
    assert.deepEqual(
      [...new Set(arrivals.map(({ destination }) => destination))].sort(),
      [ATTACKER.v4, ATTACKER.v6].sort(), // the public ones did arrive
    )
    assert.deepEqual(await world.requests(), [])
    assert.equal(service.written().stdout, 'up\n')
  })
}

testEverywhere('a CIDR wholly inside a private range opens it, and metadata never', async world => {
  const inside = l4Route([{ destinationCIDRs: ['10.1.2.0/24', '169.254.169.254/32', '127.0.0.0/8', 'fd12::/16'] }])
  const outcomes = await runProbes(world, script(['169.254.169.254', '192.168.1.1'], ['10.1.2.3', 'fd12::3']), {
    manifests: [gateway(), inside],
  })
  assertOutcomes(
    outcomes,
    /^(reset|refused|403 .*)$/,
    Object.keys(outcomes).filter(name => /^special/.test(name)),
  )
  const destinations = new Set((await world.arrivals()).map(({ destination }) => destination))
  assert.deepEqual([...destinations].sort(), ['10.1.2.3', 'fd12::3'])
})

testEverywhere('an allowed name that resolves to a special address is not dialled, and says why', async world => {
  const names = ['loopback', 'private', 'metadata', 'mapped', 'translated', 'worker-host'].map(
    name => `${name}.example.com`,
  )
  const match = { destinationHostnames: names, ports: [{ port: 443 }, { port: 80 }] }
  for (const manifests of [
    [gateway(), l4Route([match])],
    [gateway(), l4Route([match, { destinationCIDRs: ['0.0.0.0/0', '::/0'] }])],
    [gateway({ defaultPolicy: 'allow-all' })],
  ]) {
    const probes = names.map(
      name => `attempt("${name}", https, "${name}")\nattempt("${name} plain", http_plain, "${name}")`,
    )
    const outcomes = await runProbes(world, probes.join('\n'), { manifests })
    assertOutcomes(outcomes, /^403 CLRK_ADDRESS_SPECIAL$/)
  }
  assert.deepEqual(await world.arrivals(), [])
  assert.deepEqual(await world.requests(), [])
})

/** What a dialled loopback or own address of the host would reach. */
const HOST_SERVICE = `import socket
service = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
while True: print("reached by", service.accept()[1], flush=True)`

const script = (special: readonly string[], open: readonly string[]) => `
TIMEOUT = 3
for address in ${JSON.stringify(special)}:
    for port in (22, 8080):
        attempt(f"special {address} {port}", tcp, address, port)
    attempt(f"special {address} 80", http_plain, address)
TIMEOUT = 1  # what is open answers nothing: it arrives or not
for address in ${JSON.stringify(open)}:
    attempt(f"open {address}", tcp, address, 22)
`
