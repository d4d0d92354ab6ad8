/**
 * An origin that sends the credential back, in every place and form, cut into single bytes: neither the agent nor telemetry
 * sees it. T79, T80, T82, T124.
 */
import assert from 'node:assert/strict'
import { auditLines } from '../world/clrk.ts'
import { gateway, injection, providerRoute, secret } from '../world/manifests.ts'
import { NAMES } from '../world/names.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { runProbes } from './probe.ts'

const NAME = 'files.example.com'

testEverywhere('no echo of the credential comes back', async world => {
  const service = NAMES[NAME]
  assert.ok(service?.role === 'service')
  const origin = world.spawnInternet(['python3', '-uc', ORIGIN, String(service.port)])
  await origin.saw(/listening/)
  const manifests = [
    gateway({ otlp: { endpoint: 'http://collector.example.com:4318', captureBody: { maxBytes: 65_536 } } }),
    providerRoute({ provider: 'custom', hostnames: [NAME] }, 'own'),
    injection('own', 'authorization'),
    secret('own-credentials', { 'api-key': `Bearer ${world.key}` }),
  ]
  const outcomes = await runProbes(world, PROBES, { manifests })
  for (const [name, outcome] of Object.entries(outcomes)) assert.equal(outcome, 'hidden', name)
  assert.equal(Object.keys(outcomes).length, 3 * 18)
  const received = origin.written().stdout.match(/^got .*$/gm) ?? []
  assert.equal(received.length, 3 * 18) // it arrived each time: silence proves nothing
  assert.deepEqual([...new Set(received)], [`got Bearer ${world.key} identity None`])
  const lines = auditLines(world)
  assert.ok(lines.some(({ action, fault }) => action === 'replaced' && fault.code === 'CLRK_SECRET_ECHOED'))
  assert.ok(!JSON.stringify(lines).includes(world.key))
  const posts = (await world.requests()).filter(({ role }) => role === 'collector').map(({ body }) => body)
  const bodies = posts.join().match(/(?<="stringValue":")[\w+/]{8,}={0,2}(?=")/g) ?? []
  const told = [...posts, ...bodies.map(text => Buffer.from(text, 'base64').toString('latin1'))].join()
  assert.ok((posts.join().match(/"http\.response\.headers"/g) ?? []).length >= 36)
  for (const reading of readings(told)) assert.ok(!reading.includes(world.key.slice(4, 24)))
})

function readings(text: string): readonly string[] {
  const percent = (it: string) =>
    it.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return [
    ...[text, percent(text), percent(percent(text))],
    text.replace(/\\+u00([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))),
    text.replace(/(?:[0-9a-f]{2}){8,}/gi, run => Buffer.from(run, 'hex').toString('latin1')),
    text.replace(/[\w+/-]{12,}/g, run =>
      [0, 1, 2, 3].map(at => Buffer.from(run.slice(at), 'base64').toString('latin1')).join(),
    ),
  ]
}

/** Prints what it got; answers /place/form with the credential in that form, in its head, its body or WebSocket frames. */
const ORIGIN = String.raw`
import base64, gzip, hashlib, http.server, sys, urllib.parse, zlib
def each(spell): return lambda key: "".join(spell(ord(c), c) for c in key)
FORMS = {
  "plain": lambda key: key, "bearer": lambda key: "Bearer " + key, "percent": lambda key: urllib.parse.quote(key, safe=""),
  "percent-all": each(lambda code, c: "%%%02x" % code), "percent-some": each(lambda code, c: "%%%02X" % code if code % 3 else c),
  "percent-twice": each(lambda code, c: "%%25%02x" % code), "json": each(lambda code, c: "\\u%04x" % code),
  "html": each(lambda code, c: "&#%d;" % code), "hex": lambda key: key.encode().hex(), "HEX": lambda key: key.encode().hex().upper(),
  "base64": lambda key: base64.b64encode(key.encode()).decode(), "base64-1": lambda key: base64.b64encode(b"u" + key.encode()).decode(),
  "base64-2": lambda key: base64.b64encode(b"u:" + key.encode()).decode(),
  "base64url": lambda key: base64.urlsafe_b64encode(b"user:" + key.encode()).decode(), "gzip": lambda key: key,
  "deflate": lambda key: key, "range": lambda key: key, "sse": lambda key: 'data: {"key":"%s"}\n\n' % key,
}
class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"
  def log_message(self, *_): pass
  def do_GET(self):
    _, place, form = self.path.split("/")
    sent = self.headers["authorization"]
    print("got", sent, self.headers["accept-encoding"], self.headers["range"])
    text = FORMS[form](sent.split(" ")[1])
    if place == "ws": return self.frames(text)
    body = ("before " + (text if place == "body" else "") + " after").encode()
    self.send_response(200, "OK")
    if place == "head":
      self.send_header("X-Echo", text.strip().replace("\n", " "))
      self.send_header("Location", "/?k=" + text.strip().replace("\n", " "))
    if form in ("gzip", "deflate"):
      body = gzip.compress(body) if form == "gzip" else zlib.compress(body)
      self.send_header("Content-Encoding", form)
    self.send_header("Transfer-Encoding", "chunked")
    self.end_headers()
    self.wfile.flush()
    for byte in body:
      self.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
    self.wfile.write(b"0\r\n\r\n")
  def frames(self, text):
    accept = base64.b64encode(hashlib.sha1(self.headers["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    self.wfile.write(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    for at, byte in enumerate(text.encode()): self.wfile.write(bytes([0x01 if at == 0 else 0, 1, byte]))
    self.wfile.write(b"\x80\x00\x88\x02\x03\xe8")
    self.close_connection = True
server = http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler)
print("listening")
server.serve_forever()
`

/** Every answer, as its raw bytes and decoded in each way that a form could be, is searched for the key's beginning. */
const PROBES = String.raw`
import base64, html, re, urllib.parse, zlib
NEEDLE = "canary-"
PLACES = ["head", "body", "ws"]
FORMS = ["plain", "bearer", "percent", "percent-all", "percent-some", "percent-twice", "json", "html", "hex", "HEX", "base64",
  "base64-1", "base64-2", "base64url", "gzip", "deflate", "range", "sse"]
def unchunked(raw):
    head, _, rest = raw.partition(b"\r\n\r\n")
    out = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        try: count = int(size, 16)
        except ValueError: return out
        out, rest = out + rest[:count], rest[count + 2:]
    return head + out
def payloads(raw):
    head, _, rest = raw.partition(b"\r\n\r\n")
    out = b""
    while len(rest) >= 2:
        count = rest[1] & 127
        out, rest = out + rest[2:2 + count], rest[2 + count:]
    return out
def readings(data):
    text = data.decode("latin1")
    yield text
    yield urllib.parse.unquote(text)
    yield urllib.parse.unquote(urllib.parse.unquote(text))
    yield html.unescape(text)
    yield re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), text)
    for run in re.findall(r"(?:[0-9a-fA-F]{2})+", text): yield bytes.fromhex(run).decode("latin1")
    for run in re.findall(r"[A-Za-z0-9+/_-]{8,}", text):
        for start in range(4):
            piece = run[start:].replace("-", "+").replace("_", "/")
            yield base64.b64decode(piece[:len(piece) // 4 * 4]).decode("latin1")
    for wrapping in (-15, 15, 31):
        try: yield zlib.decompressobj(wrapping).decompress(data).decode("latin1")
        except zlib.error: pass
def ask(place, form):
    headers = "Connection: close\r\nAccept-Encoding: gzip\r\nRange: bytes=10-\r\n"
    if place == "ws":
        headers = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n")
    with tls("files.example.com", server_name="files.example.com") as connection:
        connection.sendall(get("files.example.com", f"/{place}/{form}", headers))
        raw = b""
        while part := connection.recv(65536): raw += part
    seen = raw + (payloads(raw) if place == "ws" else unchunked(raw))
    if not raw.startswith(b"HTTP/1.1 101" if place == "ws" else b"HTTP/1.1 200"): return raw[:400].decode("latin1")
    if b"***" not in seen: return "no mask: " + seen.decode("latin1")
    for reading in readings(seen):
        if NEEDLE in reading: return "seen: " + reading
    return "hidden"
for place in PLACES:
    for form in FORMS: attempt(f"{place}/{form}", ask, place, form)
`
