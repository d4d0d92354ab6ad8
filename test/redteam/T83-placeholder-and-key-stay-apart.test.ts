/**
 * Beside the one injected header on the one verified connection there is no place where the key comes to stand: not in
 * the clear, not for a placeholder sent elsewhere, not in our own answers, not by a path, a name or a parameter that two
 * servers read in two ways. T32, T41, T46, T81, T83, T89, T99, T108, T110.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { gateway, injection, l4Route, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld } from '../world/world.ts'
import { assertOutcomes, runProbes } from './probe.ts'

test('the key goes where the policy says and nowhere else', async t => {
  const world = await createWorld(t)
  const custom = providerRoute({ provider: 'custom', hostnames: ['echo.example.com'], endpoints: ['/v1/*'] }, 'own')
  const manifests = [
    ...[gateway(), providerRoute(), injection(), custom, injection('own')],
    ...[secret('anthropic-credentials', { 'api-key': world.key }), secret('own-credentials', { 'api-key': world.key })],
    l4Route([
      { destinationHostnames: ['other.example.com', 'api.anthropic.com'], ports: [{ port: 443 }, { port: 80 }] },
    ]),
  ]
  const outcomes = await runProbes(world, SCRIPT, { manifests })
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^200 /, named(/^elsewhere/))
  assertOutcomes(outcomes, /^(400 CLRK_HTTP_MALFORMED|403 CLRK_[A-Z_]+)$/, named(/^path/))
  assertOutcomes(outcomes, /^4[0-9]{2} CLRK_[A-Z_]+$|^403/, named(/^ours/))
  assert.match(outcomes['in the clear'] ?? '', /^(200|401|403) /)
  assert.equal(outcomes.continue, '100, then 200')
  assert.ok(Object.entries(outcomes).every(([, text]) => !/x-clrk-needle|sk-foreign-in-error/.test(text)))

  const requests = await world.requests()
  for (const request of requests) {
    const injected = request.scheme === 'https' && request.server === 'echo.example.com'
    assert.deepEqual(valuesOf(request, 'x-api-key').includes(world.key), injected, JSON.stringify(request))
    const holds = JSON.stringify(request).split(world.keyPrefix).length - 1
    assert.equal(holds, injected ? 1 : 0) // once, and where it belongs
    if (injected) assert.match(request.target, /^\/v1\/[a-z]+(\?a=1)?$/)
  }
  assert.ok(requests.some(({ server }) => server === 'other.example.com')) // the placeholder left as it is
  const twins = requests.find(({ target }) => target === '/v1/twins')
  assert.ok(twins)
  assert.deepEqual(
    twins.fields.filter(([name]) => /key|auth|cookie/i.test(name)),
    [['x-api-key', world.key]],
  )
  const bytes = requests.find(({ target }) => target === '/v1/bytes')
  assert.deepEqual(
    bytes?.fields.filter(([name]) => /^(__proto__|constructor|hasOwnProperty|x-b)$/i.test(name)),
    [
      ...[
        ['__proto__', 'x'],
        ['constructor', 'y'],
        ['X-b', ' \xe4'.trim()],
        ['x-B', 'two  words'],
      ],
      ['hasOwnProperty', 'z'],
    ],
  )
})

const SCRIPT = `
PLACEHOLDER = os.environ["ANTHROPIC_API_KEY"]
def send(path, *fields, host="echo.example.com", method="GET"):
    head = "\\r\\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *fields, "", ""])
    return https(host, request=head.encode("latin1"))
def asked(name, *fields, **more): attempt(name, lambda: send(*fields, **more))
asked("elsewhere: header", "/", f"x-api-key: {PLACEHOLDER}", f"Authorization: Bearer {PLACEHOLDER}", host="other.example.com")
asked("elsewhere: query", f"/?key={PLACEHOLDER}", host="other.example.com")
attempt("elsewhere: twins", send, "/v1/twins", "X_Api_Key: sk-foreign", "x-API_key: sk-foreign", "X-Api-Key: sk-foreign", "Authorization: Bearer sk-foreign",
    "Proxy-Authorization: Basic c2s=", "Connection: x-api-key, authorization", "Cookie: key=sk-foreign")
attempt("elsewhere: bytes", send, "/v1/bytes", "__proto__: x", "constructor: y", "X-b:   \\xe4 ", "x-B:two  words", "hasOwnProperty: z")
attempt("elsewhere: query kept", send, "/v1/q?a=1")
for path in (
    "/v1/../v2/x", "/v1/%2e%2e/x", "/v1/..%2fx", "/v1/x%2fy", "/v1/x%5c..", "/v1//x", "//v1/x", "/v1/;x", "/v1/x;/../y", "/v1/%252e", "/v1/x%00",
    "/v1\\\\x", "/v1/./x", "/%76%31/x", "/V1/x", "/v1", "/v1/x/y", "/v1/%zz", "/v1/x%", "/v1/%41", "/v1/.", "/v1/..",
): attempt(f"path {path}", send, path)
for name, arguments in (
    ("endpoint", ("/x-clrk-needle", "x-api-key: sk-foreign-in-error")), ("method", ("/v1/x", "Authorization: sk-foreign-in-error")),
    ("malformed", ("/v1/x", "x-api-key : sk-foreign-in-error")), ("upgrade", ("/v1/x", "Connection: upgrade", "Upgrade: x-clrk-needle-no")),
):
    with tls("echo.example.com", 443, "echo.example.com") as connection:
        head = "\\r\\n".join([f"{'TRACE' if name == 'method' else 'GET'} {arguments[0]} HTTP/1.1", "Host: echo.example.com", *arguments[1:], "", ""])
        connection.sendall(head.encode())
        data = connection.recv(65536).decode("latin1")
        results[f"ours: {name}"] = f"{data[9:12]} " + data.split("x-clrk-code: ")[1].split("\\r")[0] + ("LEAK sk-foreign-in-error" if "sk-foreign-in-error" in data else "")
attempt("in the clear", http_plain, "api.anthropic.com")
def continued():
    with tls("echo.example.com", 443, "echo.example.com") as connection:
        connection.sendall(b"POST /v1/c HTTP/1.1\\r\\nHost: echo.example.com\\r\\nExpect: 100-continue\\r\\nContent-Length: 2\\r\\n\\r\\n")
        first = connection.recv(4096)
        connection.sendall(b"ab")
        while b" 200 " not in first: first += connection.recv(4096)
        return f"{first[9:12].decode()}, then 200"
attempt("continue", continued)
`
