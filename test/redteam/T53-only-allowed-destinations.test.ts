/** Under deny-all nothing but the allowed name is reached, whatever is dialled, and the answer is quick. T02, T53, T54, T71. */
import assert from 'node:assert/strict'
import { auditLines } from '../world/clrk.ts'
import { ATTACKER, addressOf, HOST_ADDRESSES } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes, USERS } from './probe.ts'

testEverywhere('deny-all reaches the allowed name and nothing else', async (world, t) => {
  const listen = `import socket
s = socket.create_server(("::", 8000), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
while True: print("reached by", s.accept()[1], flush=True)`
  const hostService = world.spawnHost(['python3', '-c', listen])
  await hostService.saw(/up/)

  for (const user of USERS) {
    await t.test(`as user ${user}`, async () => {
      const outcomes = await runProbes(world, SCRIPT, { allow: ['echo.example.com'], user })
      const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
      assert.match(outcomes['the allowed name'] ?? '', /^200 /) // it works at all: silence proves nothing
      assertOutcomes(outcomes, /^403 CLRK_NAME_NOT_ALLOWED$/, named(/^another name/))
      assertOutcomes(outcomes, /^403 CLRK_(NAME|ADDRESS|PLAIN_HTTP)_NOT_ALLOWED$/, named(/^plain HTTP/))
      assertOutcomes(
        outcomes,
        /^(403 CLRK_(SERVER_NAME_MISSING|ADDRESS_NOT_ALLOWED)|TLS|reset)/,
        named(/^no server name/),
      )
      assertOutcomes(outcomes, /^(reset|refused)$/, named(/^port/))
      assert.deepEqual(await world.arrivals(), [])
      assert.deepEqual(
        (await world.requests()).map(({ server }) => server).filter(name => name !== 'echo.example.com'),
        [],
      )
    })
  }
  assert.equal(hostService.written().stdout, 'up\n')
  const audited = auditLines(world).map(({ address, name, port }) => `${name ?? address} ${port}`)
  for (const denied of [`${ATTACKER.v4} 22`, `${ATTACKER.v6} 22`, 'other.example.com 443'])
    assert.ok(audited.includes(denied), denied)
})

const ADDRESSES = [ATTACKER.v4, ATTACKER.v6, addressOf('other.example.com'), addressOf('echo.example.com', 6)]
const HOST = [HOST_ADDRESSES.v4, HOST_ADDRESSES.v6]
const METADATA = ['169.254.169.254', 'fd00:ec2::254', '169.254.170.2', '100.100.100.200']
const PRIVATE = ['10.1.2.3', '172.16.0.1', '192.168.1.1', 'fd12::3']

const SCRIPT = `
def no_server_name(address):
    with tls(address, 443, None, False) as connection:
        connection.sendall(get("echo.example.com"))
        return answer(connection)

attempt("the allowed name", https, "echo.example.com")
attempt("another name", https, "other.example.com")
attempt("another name, unknown", https, "no-such.example.org")
attempt("another name, the provider's", https, "api.anthropic.com", "/v1/messages")
attempt("plain HTTP to another name", http_plain, "other.example.com")
for address in ${JSON.stringify([...ADDRESSES, ...HOST, ...METADATA])}:
    attempt(f"plain HTTP to {address}", http_plain, address)
    attempt(f"no server name {address}", no_server_name, address)
for address in ${JSON.stringify([...ADDRESSES, ...HOST, ...METADATA, ...PRIVATE])}:
    for port in (22, 25, 853, 6379, 8000, 8443, 65535):
        attempt(f"port {port} of {address}", tcp, address, port)
attempt("port 22 of the allowed name", tcp, "echo.example.com", 22)
attempt("port 8443 of the allowed name", tcp, "echo.example.com", 8443)
`
