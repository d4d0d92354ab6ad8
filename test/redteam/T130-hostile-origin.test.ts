/**
 * An allowed origin that breaks the rules gets no further than its own answer: never into another answer, another
 * connection, another protocol or another host, and the proxy outlives it. T20, T21, T37, T51, T109, T110, T130.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { gateway, l4Route } from '../world/manifests.ts'
import { NAMES } from '../world/names.ts'
import { createWorld } from '../world/world.ts'
import { assertOutcomes, runProbes } from './probe.ts'

test('what a hostile origin sends is one clean answer or a 502', async t => {
  const world = await createWorld(t)
  const service = NAMES['files.example.com']
  assert.ok(service?.role === 'service')
  const origin = world.spawnInternet(['python3', '-uc', ORIGIN, String(service.port)])
  await origin.saw(/ready/)
  const manifests = [gateway(), l4Route([{ destinationHostnames: ['files.example.com'] }])]
  const outcomes = await runProbes(world, SCRIPT, { manifests })
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^502 CLRK_UPSTREAM_MALFORMED$/, named(/^bad/))
  assertOutcomes(outcomes, /^cut$/, named(/^cut/))
  assertOutcomes(outcomes, /^200 "fine", then 200 "next"$/, named(/^fine/))
  assert.equal(outcomes.redirect, '302 https://other.example.com/stolen')
  assert.equal(outcomes.hints, 'none')
  assert.equal(outcomes.flood, '16 and a 502')
  assert.equal(outcomes['bytes as they are'], 'X-Odd: \xe4\xff|x-odd:  two  |__proto__: 1|constructor: 2')
  assert.equal(outcomes.bomb, '10240000 of br')
  assert.ok(named(/^bad/).length >= 18 && named(/^fine/).length >= 8)
  assert.deepEqual(await world.requests(), []) // nobody followed the redirect
  assert.deepEqual(await world.arrivals(), [])

  // A connection that spoke out of turn serves nobody else.
  const served = origin
    .written()
    .stdout.split('\n')
    .map(line => line.split(' '))
  for (const path of ['/fine/idle', '/fine/twice', '/fine/head', '/fine/204']) {
    const connection = served.find(([, target]) => target === path)?.[0]
    assert.ok(connection !== undefined, path)
    assert.equal(served.filter(([number]) => number === connection).at(-1)?.[1], path)
  }
})

const ORIGIN = `
import socket, sys, threading, time, zlib
OK = b"HTTP/1.1 200 OK\\r\\n"
FINE = OK + b"Content-Length: 4\\r\\n\\r\\nfine"
NEXT = OK + b"Content-Length: 4\\r\\n\\r\\nnext"
EVIL = OK + b"Content-Length: 4\\r\\n\\r\\nevil"
answers = {
    "/next": NEXT,
    "/redirect": b"HTTP/1.1 302 Found\\r\\nLocation: https://other.example.com/stolen\\r\\nContent-Length: 0\\r\\n\\r\\n",
    "/hints": OK + b"Alt-Svc: h3=\\":443\\"\\r\\nAlternate-Protocol: 443:quic\\r\\nContent-Length: 0\\r\\n\\r\\n",
    "/bytes": OK + b"X-Odd: \\xe4\\xff\\r\\nx-odd:  two  \\r\\n__proto__: 1\\r\\nconstructor: 2\\r\\nContent-Length: 0\\r\\n\\r\\n",
    "/bad/both framings": OK + b"Content-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
    "/bad/two lengths": OK + b"Content-Length: 4\\r\\nContent-Length: 40\\r\\n\\r\\nfine",
    "/bad/length list": OK + b"Content-Length: 4, 4\\r\\n\\r\\nfine",
    "/bad/signed length": OK + b"Content-Length: +4\\r\\n\\r\\nfine",
    "/bad/coding": OK + b"Transfer-Encoding: gzip, chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
    "/bad/coding twice": OK + b"Transfer-Encoding: chunked\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
    "/bad/1.0 chunked": b"HTTP/1.0 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
    "/bad/101": b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n" + EVIL,
    "/bad/bare 101": b"HTTP/1.1 101 x\\r\\n\\r\\n" + EVIL,
    "/flood": b"HTTP/1.1 103 Early Hints\\r\\n\\r\\n" * 64 + FINE,
    "/bad/CR in the reason": b"HTTP/1.1 200 O\\rK\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/bad/ESC in the reason": b"HTTP/1.1 200 \\x1b[2J\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/bad/CR in a value": OK + b"X-A: b\\rSet-Cookie: evil=1\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/bad/LF in a value": OK + b"X-A: b\\nSet-Cookie: evil=1\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/bad/NUL in a value": OK + b"X-A: \\0\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/bad/folded": OK + b"X-A: b\\r\\n c\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/bad/name": OK + b"X A: b\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/bad/space before the colon": OK + b"Content-Length : 4\\r\\n\\r\\nfine",
    "/bad/status": b"HTTP/1.1 99 x\\r\\n\\r\\n", "/bad/long status": b"HTTP/1.1 2000 x\\r\\n\\r\\n",
    "/bad/version": b"HTTP/2.0 200 OK\\r\\n\\r\\n", "/bad/not HTTP": b"SSH-2.0-x\\r\\n\\r\\n", "/bad/nothing": b"",
    "/bad/large head": OK + b"X-A: " + b"b" * 70000 + b"\\r\\n\\r\\n",
    "/bad/many fields": OK + b"X-A: b\\r\\n" * 300 + b"\\r\\n",
    "/bad/chunk": OK + b"Transfer-Encoding: chunked\\r\\n\\r\\nfffffffffffffffff\\r\\n",
    "/cut/chunk": OK + b"Transfer-Encoding: chunked\\r\\n\\r\\n4\\r\\nfine\\r\\nzz\\r\\n" + EVIL,
    "/cut/chunk end": OK + b"Transfer-Encoding: chunked\\r\\n\\r\\n4\\r\\nfineX\\r\\n0\\r\\n\\r\\n",
    "/cut/extensions": OK + b"Transfer-Encoding: chunked\\r\\n\\r\\n4\\r\\nfine\\r\\n4;" + b"x" * 5000 + b"\\r\\nfine\\r\\n0\\r\\n\\r\\n",
    "/cut/trailers": OK + b"Transfer-Encoding: chunked\\r\\n\\r\\n4\\r\\nfine\\r\\n0\\r\\n" + b"X-T: 1\\r\\n" * 3000 + b"\\r\\n",
    "/cut/short": OK + b"Content-Length: 40\\r\\n\\r\\nfine",
    "/fine/idle": FINE, "/fine/twice": FINE + EVIL, "/fine/head": FINE + EVIL, "/fine/close": OK + b"\\r\\nfine",
    "/fine/1xx": b"HTTP/1.1 100 Continue\\r\\nLink: x\\r\\n\\r\\n" + FINE,
    "/fine/chunked": OK + b"Transfer-Encoding: chunked\\r\\n\\r\\n4;a=b\\r\\nfine\\r\\n0\\r\\nX-T: 1\\r\\n\\r\\n",
    "/fine/connection": OK + b"Connection: content-length, x-a\\r\\nX-A: 1\\r\\nContent-Length: 4\\r\\n\\r\\nfine",
    "/fine/204": b"HTTP/1.1 204 No Content\\r\\nContent-Length: 4\\r\\n\\r\\nevil",
    "/fine/304": b"HTTP/1.1 304 Not Modified\\r\\nContent-Length: 4\\r\\n\\r\\n",
}
BOMB = OK + b"Content-Encoding: br\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\n\\r\\n"
def serve(connection, number):
    data = b""
    while True:
        while b"\\r\\n\\r\\n" not in data:
            more = connection.recv(65536)
            if not more: return
            data += more
        head, data = data.split(b"\\r\\n\\r\\n", 1)
        path = head.split(b" ")[1].decode().replace("%20", " ")
        print(number, path.replace(" ", "_"))
        if path == "/bomb":
            connection.sendall(BOMB + b"\\0" * 10240000)
            return connection.close()
        early = answers[path].find(b"fine") if path.startswith("/cut") else -1
        if early > 0: connection.sendall(answers[path][:early + 4]); time.sleep(0.2)
        connection.sendall(answers[path][early + 4 if early > 0 else 0:])
        if path == "/fine/idle":
            time.sleep(0.2)
            connection.sendall(EVIL)
        if path in ("/bad/nothing", "/cut/short", "/fine/close"): return connection.close()
def quiet(*arguments):
    try: serve(*arguments)
    except OSError: pass
    finally: arguments[0].close()
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready")
for number in range(10000): threading.Thread(target=quiet, args=(server.accept()[0], number), daemon=True).start()
`

const SCRIPT = `
import time
HOST = "files.example.com"
BAD = ["both framings", "two lengths", "length list", "signed length", "coding", "coding twice", "1.0 chunked", "101",
    "bare 101", "CR in the reason", "ESC in the reason", "CR in a value", "LF in a value", "NUL in a value",
    "folded", "name", "space before the colon", "status", "long status", "version", "not HTTP", "nothing", "large head", "many fields",
    "chunk"]

def raw(connection, path, method="GET"):
    connection.sendall(get(HOST, path.replace(" ", "%20")).replace(b"GET", method.encode(), 1))
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return response

for name in BAD: attempt(f"bad: {name}", https, HOST, f"/bad/{name}".replace(" ", "%20"))

def cut(name):
    with tls(HOST, 443, HOST) as connection:
        try: return "whole: " + raw(connection, f"/cut/{name}").read().decode("latin1")
        except (http.client.IncompleteRead, ConnectionError, ssl.SSLError, ValueError): pass
        try: return "cut" if connection.recv(1) == b"" else "more"
        except (OSError, ValueError): return "cut"
for name in ("chunk", "chunk end", "extensions", "trailers", "short"): attempt(f"cut: {name}", cut, name)

def both(name, method="GET", wait=0):
    """The answer, and that to the next request on the same connection of ours."""
    with tls(HOST, 443, HOST) as connection:
        first = raw(connection, f"/fine/{name}", method)
        body = first.read().decode() or "fine"
        status = 200 if first.status in (204, 304) else first.status
        time.sleep(wait)
        return f'{status} "{body}", then {answer_to(connection, "/next")}'
def answer_to(connection, path):
    response = raw(connection, path)
    return f"{response.status} {json.dumps(response.read().decode())}"
attempt("fine: bytes while idle", both, "idle", "GET", 0.5)
attempt("fine: two answers", both, "twice")
attempt("fine: a body for HEAD", both, "head", "HEAD")
attempt("fine: a body with 204", both, "204")
for name in ("1xx", "chunked", "connection", "304", "close"): attempt(f"fine: {name}", both, name)

def headers(path):
    with tls(HOST, 443, HOST) as connection:
        connection.sendall(get(HOST, path))
        return connection.recv(65536)
def flood():
    with tls(HOST, 443, HOST) as connection:
        connection.sendall(get(HOST, "/flood"))
        data = b""
        while b"problem+json" not in data: data += connection.recv(65536)
        return f"{data.count(b' 103 ')} and a {data[data.rindex(b'HTTP/1.1'):][9:12].decode()}"
attempt("flood", flood)
attempt("redirect", lambda: (lambda response: f"{response.status} {response.headers['location']}")(raw(tls(HOST, 443, HOST), "/redirect")))
attempt("hints", lambda: "some" if b"443" in headers("/hints") else "none")
attempt("bytes as they are", lambda: "|".join(line.decode("latin1") for line in headers("/bytes").split(b"\\r\\n")[1:5]))
attempt("bomb", lambda: (lambda response: f"{len(response.read())} of {response.headers['content-encoding']}")(raw(tls(HOST, 443, HOST), "/bomb")))
`
