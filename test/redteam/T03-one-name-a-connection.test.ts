/** Name dialled, SNI, Host and request target are one name, on every request. T03, T06, T08–T13, T19. */
import assert from 'node:assert/strict'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes } from './probe.ts'

testEverywhere('a request that names another host than its connection goes nowhere', async world => {
  const outcomes = await runProbes(world, SCRIPT, { allow: ['echo.example.com', 'api.openai.com'] })
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^200 /, named(/^fine/))
  assertOutcomes(outcomes, /^421 CLRK_AUTHORITY_MISMATCH$/, named(/^mismatch/))
  assertOutcomes(outcomes, /^400 CLRK_HTTP_MALFORMED$/, named(/^malformed/))
  assertOutcomes(outcomes, /^(421 CLRK_SERVER_NAME_MISMATCH|TLS|reset)/, named(/^another SNI/))
  assert.equal(outcomes['second request'], '200, then 421 CLRK_AUTHORITY_MISMATCH')
  const targets = (await world.requests()).map(({ server, target }) => `${server}${target}`)
  assert.deepEqual(
    targets.filter(target => !/^echo\.example\.com\/fine/.test(target)),
    [],
  )
  assert.deepEqual(await world.arrivals(), [])
})

const SCRIPT = `
def send(text):
    return https("echo.example.com", request=text.replace("\\n", "\\r\\n").encode("latin1"))

attempt("fine", send, "GET /fine HTTP/1.1\\nHost: echo.example.com\\n\\n")
attempt("fine, upper case and port", send, "GET /fine/case HTTP/1.1\\nhOST: ECHO.example.com:443\\n\\n")
attempt("malformed, absolute form", send, "GET https://echo.example.com/ HTTP/1.1\\nHost: echo.example.com\\n\\n")
attempt("mismatch, another allowed name", send, "GET / HTTP/1.1\\nHost: api.openai.com\\n\\n")
attempt("mismatch, a denied name", send, "GET / HTTP/1.1\\nHost: other.example.com\\n\\n")
attempt("mismatch, below", send, "GET / HTTP/1.1\\nHost: x.echo.example.com\\n\\n")
attempt("mismatch, longer", send, "GET / HTTP/1.1\\nHost: echo.example.com.evil.example.org\\n\\n")
attempt("mismatch, another port", send, "GET / HTTP/1.1\\nHost: echo.example.com:8443\\n\\n")
attempt("mismatch, an address", send, "GET / HTTP/1.1\\nHost: 93.184.215.14\\n\\n")
attempt("malformed, absolute form to another", send, "GET https://api.openai.com/ HTTP/1.1\\nHost: echo.example.com\\n\\n")
attempt("malformed, absolute form and Host to another", send, "GET https://api.openai.com/ HTTP/1.1\\nHost: api.openai.com\\n\\n")
attempt("malformed, two Hosts", send, "GET / HTTP/1.1\\nHost: echo.example.com\\nHost: echo.example.com\\n\\n")
attempt("malformed, two Hosts in two cases", send, "GET / HTTP/1.1\\nHost: echo.example.com\\nhost: api.openai.com\\n\\n")
attempt("malformed, no Host", send, "GET / HTTP/1.1\\nAccept: */*\\n\\n")
attempt("malformed, folded Host", send, "GET / HTTP/1.1\\nHost:\\n echo.example.com\\n\\n")
attempt("malformed, user information", send, "GET / HTTP/1.1\\nHost: echo.example.com@api.openai.com\\n\\n")
attempt("another SNI", https, "api.openai.com", "/", "echo.example.com")
attempt("another SNI, denied", https, "other.example.com", "/", "echo.example.com")

def second():
    with tls("echo.example.com", 443, "echo.example.com") as connection:
        connection.sendall(get("echo.example.com", "/fine/first"))
        first = answer(connection)
        connection.sendall(get("api.openai.com", "/second"))
        return f"{first[:3]}, then {answer(connection)}"

attempt("second request", second)
`
