/**
 * What an agent says in HTTP/2 becomes one request in HTTP/1.1, or none: no field, trailer, length or path of it reads as
 * another line, another framing or another request at the origin. T04, T05, T26, T30, T32.
 */
import assert from 'node:assert/strict'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes } from './probe.ts'

testEverywhere('nothing in HTTP/2 becomes a second request or a second framing in HTTP/1.1', async world => {
  const manifests = [
    ...[gateway(), providerRoute({ provider: 'anthropic', endpoints: ['/v1/messages'] }), injection()],
    secret('anthropic-credentials', { 'api-key': world.key }),
  ]
  const outcomes = await runProbes(world, SCRIPT, { manifests })
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^200$/, named(/^good/))
  assertOutcomes(outcomes, /^(400|421|403|405|reset \d+|goaway \d+)$/, named(/^bad/))
  assertOutcomes(outcomes, /^(200|400|reset \d+|goaway \d+)$/, named(/^dropped/)) // the field, or the request
  assertOutcomes(outcomes, /^(400|502|reset \d+|goaway \d+|no answer)$/, named(/^short/))
  const requests = await world.requests()
  const whole = requests.filter(({ body }) => body === '' || body === '{}')
  assert.equal(
    whole.length,
    Object.values(outcomes).filter(outcome => outcome === '200').length,
    JSON.stringify(requests),
  )
  for (const request of requests) {
    assert.doesNotMatch(JSON.stringify(request), /smuggled|sk-foreign|GET \/x/)
    assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
  }
})

const SCRIPT = `
import time
HOST = "api.anthropic.com"

def text(value): return value if isinstance(value, bytes) else value.encode("latin1")
def integer(value):
    if value < 127: return bytes([value])
    rest, out = value - 127, [127]
    while rest >= 128: out.append(rest % 128 + 128); rest //= 128
    return bytes(out + [rest])
def block(fields):
    return b"".join(b"\\0" + integer(len(text(n))) + text(n) + integer(len(text(v))) + text(v) for n, v in fields)
def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

def h2(fields, body=None, trailers=None):
    """One request on a connection of its own; its status, or how its stream ended."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(dial(HOST, 443), server_hostname=HOST) as connection:
        out = b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + frame(4, 0, 0)
        parts = [frame(1, 4, 1, block(fields))] + ([] if body is None else [frame(0, 0, 1, body)])
        if trailers is not None: parts.append(frame(1, 4, 1, block(trailers)))
        last = bytearray(parts[-1]); last[4] |= 1; parts[-1] = bytes(last)
        connection.sendall(out + b"".join(parts))
        data = b""
        while True:
            while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
                more = connection.recv(65536)
                if not more: return "no answer"
                data += more
            length, kind, flags, stream = int.from_bytes(data[:3], "big"), data[3], data[4], int.from_bytes(data[5:9], "big")
            payload, data = data[9:9 + length], data[9 + length:]
            if kind == 4 and not flags & 1: connection.sendall(frame(4, 1, 0))
            if kind == 3 and stream == 1: return f"reset {int.from_bytes(payload[:4], 'big')}"
            if kind == 7 and payload[4:8] != bytes(4): return f"goaway {int.from_bytes(payload[4:8], 'big')}"
            if kind == 1 and stream == 1: return status(payload)

STATIC = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}
def status(payload):
    """:status is the first field, of the static table or a literal with its index; three digits, perhaps in Huffman code."""
    while payload[0] & 0xe0 == 0x20: payload = payload[1:]
    if payload[0] & 0x80: return STATIC[payload[0] & 0x7f]
    length = payload[1] & 0x7f
    value = payload[2:2 + length]
    if not payload[1] & 0x80: return value.decode()
    bits = "".join(f"{byte:08b}" for byte in value)
    code = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5", "011100": "6"}
    digits, at = "", ""
    for bit in bits:
        at += bit
        if at in code: digits, at = digits + code[at], ""
    return digits[:3]

def pseudo(method="GET", path="/v1/messages", authority=HOST, scheme="https"):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]

def probe(name, fields, *rest): attempt(name, h2, fields, *rest)
JSON_TYPE = ("content-type", "application/json")
probe("good: plain", pseudo())
probe("good: body", pseudo("POST") + [JSON_TYPE, ("content-length", "2")], b"{}")
probe("good: no length", pseudo("POST") + [JSON_TYPE], b"{}")
probe("good: credentials in trailers", pseudo("POST") + [JSON_TYPE], b"{}", [("x-api-key", "sk-foreign"), ("x_api_key", "sk-foreign")])
probe("good: twins of the credential", pseudo() + [("x-api-key", "sk-foreign"), ("x_api_key", "sk-foreign"), ("authorization", "Bearer sk-foreign")])
probe("dropped: trailer content-length", pseudo("POST") + [JSON_TYPE], b"{}", [("content-length", "smuggled")])
for name in ("transfer-encoding", "connection", ":path"):
    probe("short: trailer " + name, pseudo("POST") + [JSON_TYPE], b"{}", [(name, "smuggled")])
SMUGGLED = "a\\r\\nsmuggled: 1"
SECOND = "a\\r\\n\\r\\nGET /x HTTP/1.1\\r\\nhost: smuggled\\r\\n\\r\\n"
for what, evil in (("line", SMUGGLED), ("request", SECOND), ("LF", "a\\nsmuggled: 1"), ("CR", "a\\rsmuggled: 1"), ("NUL", "a\\0smuggled")):
    probe(f"dropped: {what} in a value", pseudo() + [("x-a", evil)])
    probe(f"dropped: {what} in a name", pseudo() + [(evil, "x")])
    probe(f"bad: {what} in the method", pseudo(method="GET /v1/messages HTTP/1.1\\r\\n" + evil))
    probe(f"bad: {what} in the path", pseudo(path="/v1/messages" + evil))
    probe(f"bad: {what} in the authority", pseudo(authority=HOST + evil))
    probe(f"dropped: {what} in a cookie", pseudo() + [("cookie", evil)])
    probe(f"bad: {what} in the scheme", pseudo(scheme="https" + evil))
for name, fields in (
    ("dropped: space in a name", pseudo() + [("x a", "smuggled")]),
    ("dropped: colon in a name", pseudo() + [("x:a", "smuggled")]),
    ("dropped: upper case in a name", pseudo() + [("X-A", "smuggled")]),
    ("dropped: empty name", pseudo() + [("", "smuggled")]),
    ("transfer-encoding", pseudo("POST") + [("transfer-encoding", "chunked")]),
    ("connection", pseudo() + [("connection", "x-api-key")]),
    ("upgrade", pseudo() + [("upgrade", "h2c")]),
    ("two lengths", pseudo("POST") + [("content-length", "2"), ("content-length", "3")]),
    ("a list of lengths", pseudo("POST") + [("content-length", "2, 2")]),
    ("a signed length", pseudo("POST") + [("content-length", "+2")]),
    ("path with a space", pseudo(path="/v1/messages HTTP/1.1")),
    ("path with a fragment", pseudo(path="/v1/messages#x")),
    ("no path", pseudo(path="")),
    ("absolute path", pseudo(path="https://smuggled/v1/messages")),
    ("star", pseudo(path="*")),
    ("method with a space", pseudo(method="GET /x")),
    ("empty method", pseudo(method="")),
    ("CONNECT", [(":method", "CONNECT"), (":authority", HOST + ":443")]),
    ("extended CONNECT", pseudo("CONNECT") + [(":protocol", "websocket")]),
    ("TRACE", pseudo(method="TRACE")),
    ("userinfo", pseudo(authority="smuggled@" + HOST)),
    ("another authority", pseudo(authority="smuggled.example.com")),
    ("host and authority differ", pseudo() + [("host", "smuggled.example.com")]),
    ("two hosts", pseudo() + [("host", HOST), ("host", HOST)]),
    ("two authorities", pseudo() + [(":authority", HOST)]),
    ("two methods", pseudo() + [(":method", "POST")]),
    ("two paths", pseudo() + [(":path", "/x")]),
    ("unknown pseudo", pseudo() + [(":x", "smuggled")]),
    ("pseudo after a field", [("x-a", "b")] + pseudo()),
    ("plain http", pseudo(scheme="http")),
): probe(name if ":" in name else "bad: " + name, fields, *([b"{}"] if fields[0][1] == "POST" else []))
for name, length, body in (("longer than said", "1", b"{}" + b"GET /x HTTP/1.1\\r\\nhost: smuggled\\r\\n\\r\\n"), ("shorter than said", "20", b"{"), ("none, though said", "5", b""), ("more than none", "0", b"smuggled")):
    probe("short: " + name, pseudo("POST") + [JSON_TYPE, ("content-length", length)], body)
probe("good: afterwards", pseudo())
`
