/** The address that an agent dials is never trusted: a name leads to our own look-up of it. T01, T02. */
import assert from 'node:assert/strict'
import { ATTACKER, addressOf } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { runProbes, USERS } from './probe.ts'

for (const user of USERS) {
  testEverywhere(`a raw address with an allowed SNI reaches that name's real host (user ${user})`, async world => {
    const outcomes = await runProbes(world, SCRIPT, { allow: ['echo.example.com'], user })
    assert.match(outcomes.IPv4 ?? '', /^200 .*"target": "\/v4"/)
    assert.match(outcomes.IPv6 ?? '', /^200 .*"target": "\/v6"/)
    assert.match(outcomes['another stand-in'] ?? '', /^200 .*"target": "\/other"/)
    const requests = await world.requests()
    assert.deepEqual(
      requests.map(({ server, target }) => `${server}${target}`),
      ['echo.example.com/v4', 'echo.example.com/v6', 'echo.example.com/other'],
    )
    assert.match(outcomes['denied name'] ?? '', /^403 CLRK_NAME_NOT_ALLOWED$/)
    assert.deepEqual(await world.arrivals(), [])
  })
}

const SCRIPT = `
attempt("IPv4", https, "echo.example.com", "/v4", "${ATTACKER.v4}")
attempt("IPv6", https, "echo.example.com", "/v6", "${ATTACKER.v6}")
attempt("another stand-in", https, "echo.example.com", "/other", "${addressOf('other.example.com')}")
attempt("denied name", https, "other.example.com", "/", "${addressOf('echo.example.com')}")
`
