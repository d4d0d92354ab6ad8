/** A rule by model goes by what the provider will read: what could be read in two ways, or not at all, is refused. T44, T45. */
import assert from 'node:assert/strict'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes } from './probe.ts'

testEverywhere('no spelling of a body gets another model past a rule', async world => {
  const match = { provider: 'anthropic', endpoints: ['/v1/messages'], models: ['claude-small-*'] }
  const manifests = [
    ...[gateway(), providerRoute(match), injection()],
    secret('anthropic-credentials', { 'api-key': world.key }),
  ]
  const outcomes = await runProbes(world, SCRIPT, { manifests })
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^200 .*claude-small-1/, named(/^good/))
  assertOutcomes(outcomes, /^403 CLRK_MODEL_NOT_ALLOWED$/, named(/^other/))
  assertOutcomes(outcomes, /^400 CLRK_MODEL_UNREADABLE$/, named(/^unreadable/))
  assertOutcomes(outcomes, /^413 CLRK_BODY_TOO_LARGE$/, named(/^too large/))
  assertOutcomes(outcomes, /^400 CLRK_[A-Z_]+$/, named(/^malformed/))
  assert.equal(outcomes.continue, '100, then 200')
  assert.match(outcomes.explained ?? '', /^403 .*claude-large-1.*models: /)
  const requests = await world.requests()
  assert.equal(requests.length, named(/^good/).length + 2) // the pipelined one, and that which waited to be asked
  for (const request of requests) {
    assert.equal(JSON.parse(request.body).model, 'claude-small-1')
    assert.ok(!request.body.includes('large'))
    assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
    assert.deepEqual(valuesOf(request, 'expect'), [])
  }
})

const SCRIPT = `
import gzip, zlib
HOST = "api.anthropic.com"
GOOD = b'{"model":"claude-small-1","max_tokens":1,"messages":[]}'
JSON_TYPE = "Content-Type: application/json"

def head(*fields, path="/v1/messages", method="POST"):
    return "\\r\\n".join([f"{method} {path} HTTP/1.1", f"Host: {HOST}", *fields, "", ""]).encode("latin1")

def send(body, *fields, path="/v1/messages", kind=JSON_TYPE):
    return https(HOST, request=head(kind, f"Content-Length: {len(body)}", *fields, path=path) + body)

def chunks(*parts, end=b"0\\r\\n\\r\\n"):
    body = b"".join(b"%x\\r\\n%s\\r\\n" % (len(part), part) for part in parts)
    return https(HOST, request=head(JSON_TYPE, "Transfer-Encoding: chunked") + body + end)

attempt("good: whole", send, GOOD)
attempt("good: chunks", chunks, GOOD[:7], GOOD[7:11], GOOD[11:])
attempt("good: escapes in the value", send, GOOD.replace(b"small", b"sm\\\\u0061ll"))
attempt("good: charset", lambda: send(GOOD, kind="Content-Type: application/json; charset=utf-8"))
attempt("other: model", send, GOOD.replace(b"small", b"large"))
attempt("other: in chunks", chunks, b'{"model":"claude-la', b'rge-1"}')
attempt("other: case", send, GOOD.replace(b"claude", b"Claude"))
attempt("other: a slash", send, GOOD.replace(b"small-1", b"small-1/large"))
for name, body in (
    ("twice", b'{"model":"claude-small-1","model":"claude-large-1"}'),
    ("twice, first", b'{"model":"claude-large-1","model":"claude-small-1"}'),
    ("twice, escapes", b'{"model":"claude-small-1","mod\\\\u0065l":"claude-large-1"}'),
    ("twice, case", b'{"model":"claude-small-1","Model":"claude-large-1"}'),
    ("NUL behind the name", b'{"model":"claude-small-1","model\\\\u0000":"claude-large-1"}'),
    ("NUL in the value", b'{"model":"claude-small-1\\\\u0000","x":"claude-large-1"}'),
    ("not UTF-8", b'{"x":"\\xc0","model":"claude-small-1"}'),
    ("byte order mark", b"\\xef\\xbb\\xbf" + GOOD),
    ("UTF-16", GOOD.decode().encode("utf-16")),
    ("an array", b"[" + GOOD + b"]"),
    ("two objects", GOOD + b'{"model":"claude-large-1"}'),
    ("a comment", GOOD + b"//"),
    ("missing", b'{"messages":[{"model":"claude-small-1"}]}'),
    ("null", b'{"model":null}'),
    ("a list", b'{"model":["claude-small-1"]}'),
    ("deep", b'{"model":"claude-small-1","x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("empty", b""),
):
    attempt(f"unreadable: {name}", send, body)
for name, coding, body in (
    ("gzip", "gzip", gzip.compress(GOOD)), ("deflate", "deflate", zlib.compress(GOOD)), ("br", "br", GOOD), ("zstd", "zstd", GOOD),
    ("identity", "identity", GOOD), ("unknown", "x-rot13", GOOD), ("a bomb", "gzip", gzip.compress(bytes(50_000_000))),
):
    attempt(f"unreadable: {name}", send, body, f"Content-Encoding: {coding}")
attempt("unreadable: an underscore twin", send, gzip.compress(GOOD), "Content_Encoding: gzip")
attempt("unreadable: in the query too", lambda: send(GOOD, path="/v1/messages?model=claude-large-1"))
attempt("unreadable: in the query, encoded", lambda: send(GOOD, path="/v1/messages?a;%4dodel=claude-large-1"))
attempt("unreadable: a form", lambda: send(GOOD, kind="Content-Type: application/x-www-form-urlencoded"))
attempt("unreadable: UTF-7", lambda: send(GOOD, kind="Content-Type: application/json; charset=utf-7"))
attempt("unreadable: no type", lambda: send(GOOD, kind="Accept: */*"))
attempt("unreadable: two types", send, GOOD, "Content-Type: multipart/form-data; boundary=x")
attempt("unreadable: no body", lambda: https(HOST, request=head(JSON_TYPE)))
attempt("malformed: chunks", lambda: chunks(GOOD, end=b"x\\r\\n\\r\\n"))
attempt("malformed: a credential in the trailers", lambda: chunks(GOOD, end=b"0\\r\\nX-Api-Key: sk-foreign\\r\\n\\r\\n"))
attempt("too large: said", lambda: https(HOST, request=head(JSON_TYPE, "Content-Length: 33554433")))

def explained():
    with tls(HOST, 443, HOST) as connection:
        body = GOOD.replace(b"small", b"large")
        connection.sendall(head(JSON_TYPE, f"Content-Length: {len(body)}") + body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        problem = json.loads(response.read())
        return f"{response.status} {problem['detail']} {problem['yaml']}".replace("\\n", " ")
attempt("explained", explained)

def pipelined():
    """A refused body, and a good request right behind it on one connection: each is answered, in order."""
    with tls(HOST, 443, HOST) as connection:
        bad = GOOD.replace(b"small", b"large")
        request = lambda body, *more: head(JSON_TYPE, f"Content-Length: {len(body)}", *more) + body
        connection.sendall(request(bad) + request(GOOD) + request(bad, "Connection: close"))
        data = connection.makefile("rb").read().decode("latin1")
        return " ".join(part[:3] for part in data.split("HTTP/1.1 ")[1:])
results["pipelined"] = pipelined()
assert results["pipelined"] == "403 200 403", results["pipelined"]

def continued():
    with tls(HOST, 443, HOST) as connection:
        connection.sendall(head(JSON_TYPE, "Expect: 100-continue", f"Content-Length: {len(GOOD)}"))
        first = connection.recv(4096)
        connection.sendall(GOOD)
        while b" 200 " not in first: first += connection.recv(4096)
        return f"{first[9:12].decode()}, then 200"
attempt("continue", continued)
`
