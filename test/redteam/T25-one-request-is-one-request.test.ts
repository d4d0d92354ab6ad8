/** Whatever framing an agent sends, the origin sees one request for one decision, or none. T25, T27, T29, T31, T35, T36, T39, T132. */
import assert from 'node:assert/strict'
import { valuesOf } from '../world/origins.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes } from './probe.ts'

testEverywhere('ambiguous framing and control characters never reach the origin', async world => {
  const outcomes = await runProbes(world, SCRIPT, { allow: ['echo.example.com'] })
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^400 CLRK_HTTP_MALFORMED$/, named(/^refused/))
  assertOutcomes(outcomes, /^405 CLRK_METHOD_NOT_ALLOWED$/, named(/^method/))
  assertOutcomes(outcomes, /^403 CLRK_UPGRADE_NOT_ALLOWED$|^200 /, named(/^upgrade/))
  assertOutcomes(outcomes, /^200 .*"bodyBytes": 5/, named(/^body/))
  const requests = await world.requests()
  assert.deepEqual(
    requests.filter(({ target }) => /smuggled|refused/.test(target)).map(({ target }) => target),
    [],
  )
  for (const request of requests) {
    assert.deepEqual(valuesOf(request, 'x-nominated'), []) // hop-by-hop by nomination
    assert.deepEqual(valuesOf(request, 'upgrade'), [])
  }
})

const SCRIPT = `
SMUGGLED = "GET /smuggled HTTP/1.1\\nHost: echo.example.com\\n\\n"

def send(line, *fields, body=""):
    head = "\\n".join([line, "Host: echo.example.com", *fields, "", ""])
    return https("echo.example.com", request=head.replace("\\n", "\\r\\n").encode("latin1") + body.replace("\\n", "\\r\\n").encode("latin1"))

def exactly(data):
    return https("echo.example.com", request=data)

POST = "POST /refused HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"
for name, fields, body in (
    ("CL.TE", ("Content-Length: 4", CHUNKED), "0\\n\\n" + SMUGGLED),
    ("TE.CL", (CHUNKED, "Content-Length: 4"), "5c\\n" + SMUGGLED + "\\n0\\n\\n"),
    ("TE.TE", (CHUNKED, "Transfer-Encoding: x"), "0\\n\\n" + SMUGGLED),
    ("TE twice", ("Transfer-Encoding: chunked, chunked",), "0\\n\\n" + SMUGGLED),
    ("TE not last", ("Transfer-Encoding: chunked, gzip",), "0\\n\\n" + SMUGGLED),
    ("TE with a tab", ("Transfer-Encoding:\\x0bchunked",), "0\\n\\n" + SMUGGLED),
    ("space before the colon", ("Transfer-Encoding : chunked",), "0\\n\\n" + SMUGGLED),
    ("two lengths", ("Content-Length: 5", "Content-Length: 0"), SMUGGLED),
    ("a list of lengths", ("Content-Length: 0, 5",), SMUGGLED),
    ("a signed length", ("Content-Length: +0",), SMUGGLED),
    ("a hexadecimal length", ("Content-Length: 0x0",), SMUGGLED),
    ("a negative length", ("Content-Length: -1",), SMUGGLED),
    ("a folded field", ("X-A: b\\n c",), ""),
    ("a NUL in a value", ("X-A: b\\0c",), ""),
    ("an ESC in a value", ("X-A: b\\x1bc",), ""),
    ("a bare CR in a value", ("X-A: b\\rContent-Length: 5",), ""),
    ("a control character in a name", ("X\\x01A: b",), ""),
    ("an empty name", (": b",), ""),
    ("a field without a colon", ("X-A",), ""),
):
    attempt(f"refused: {name}", lambda: send(POST, *fields, body=body))
for name, line in (
    ("a control character in the target", "GET /refused\\x01 HTTP/1.1"),
    ("a NUL in the target", "GET /refused\\0 HTTP/1.1"),
    ("a space in the target", "GET /refused /refused HTTP/1.1"),
    ("a control character in the method", "G\\x7fT /refused HTTP/1.1"),
    ("another version", "GET /refused HTTP/3.0"),
    ("no version", "GET /refused"),
    ("a fragment", "GET /refused#x HTTP/1.1"),
):
    attempt(f"refused: {name}", send, line)
attempt("refused: bare LF", exactly, b"GET /refused HTTP/1.1\\nHost: echo.example.com\\n\\n")
attempt("method TRACE", send, "TRACE /refused HTTP/1.1")
attempt("method TRACK", send, "TRACK /refused HTTP/1.1")
attempt("method CONNECT", exactly, b"CONNECT other.example.com:443 HTTP/1.1\\r\\nHost: echo.example.com\\r\\n\\r\\n")
attempt("upgrade to h2c", send, "GET /upgrade HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAAA")
attempt("body of a GET", lambda: send("GET /body HTTP/1.1", "Content-Length: 5", body="12345"))
attempt("body in chunks", lambda: send("POST /body HTTP/1.1", CHUNKED, body="2\\n12\\n3\\n345\\n0\\n\\n"))
attempt("body, nominated field", lambda: send(
    "POST /body HTTP/1.1", "Connection: x-nominated", "X-Nominated: 1", "Content-Length: 5", body="12345"))
`
