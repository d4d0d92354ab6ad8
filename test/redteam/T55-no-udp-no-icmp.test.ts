/** Nothing but TCP and DNS has a way out: refused at once, for root inside as for a user. T55, T56, T63. */
import assert from 'node:assert/strict'
import { ATTACKER, HOST_ADDRESSES } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes, USERS } from './probe.ts'

testEverywhere('UDP, ICMP, raw and packet sockets carry nothing out', async (world, t) => {
  for (const user of USERS) {
    for (const [gateway, allow] of [
      ['deny-all', []],
      ['an allowed name', ['echo.example.com']],
    ] as const) {
      await t.test(`as user ${user}, with ${gateway}`, async () => {
        assertOutcomes(
          await runProbes(world, SCRIPT, { user, allow }),
          /^E(PERM|ACCES|AFNOSUPPORT|PROTONOSUPPORT|SOCKTNOSUPPORT)$/,
        )
        assert.deepEqual(await world.arrivals(), [])
      })
    }
  }
})

const SCRIPT = `
for address in ${JSON.stringify([ATTACKER.v4, ATTACKER.v6, HOST_ADDRESSES.v4, '169.254.169.254', '8.8.8.8'])}:
    for port in (443, 123, 5353, 5355, 51820):
        attempt(f"UDP {port} of {address}", udp, address, port)

def icmp(address, kind):
    family, protocol, ask = (10, 58, 128) if ":" in address else (2, 1, 8)
    with socket.socket(family, kind, protocol) as connection:
        connection.sendto(bytes([ask, 0, 0xf7 - (ask == 128), 0xff, 0, 0, 0, 0]), (address, 0))
        return "sent"

for address in ("${ATTACKER.v4}", "${ATTACKER.v6}"):
    attempt(f"ICMP by a datagram socket to {address}", icmp, address, socket.SOCK_DGRAM)
    attempt(f"ICMP by a raw socket to {address}", icmp, address, socket.SOCK_RAW)

def made(*arguments):
    socket.socket(*arguments).close()
    return "made"

attempt("raw IP", made, socket.AF_INET, socket.SOCK_RAW, 255)
attempt("packet socket", made, socket.AF_PACKET, socket.SOCK_RAW, 3)
attempt("SCTP", made, socket.AF_INET, socket.SOCK_STREAM, 132)

def mark():
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, 36, 1)
        return "marked"

attempt("SO_MARK", mark)
`
