/**
 * What is not read as HTTP or TLS cannot be either for the server: no request reaches another tenant of an allowed
 * host's address by an odd beginning, in pieces, or after a silence. T10, T18, T19, T47.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { gateway, l4Route } from '../world/manifests.ts'
import { NAMES } from '../world/names.ts'
import { createWorld } from '../world/world.ts'
import { assertOutcomes, runProbes } from './probe.ts'

test('a tenant beside the allowed one is not reached by bytes that only the server reads as HTTP or TLS', async t => {
  const world = await createWorld(t)
  const service = NAMES['files.example.com']
  assert.ok(service?.role === 'service')
  const tls = { name: 'everywhere', protocol: 'TLS', tls: { mode: 'Terminate' } }
  const l4 = l4Route([
    { destinationHostnames: ['echo.example.com'], ports: [{ port: 80 }, { port: 443 }] },
    { destinationHostnames: ['files.example.com'], ports: [{ port: 8443 }, { port: 5432 }, { port: 25 }] },
  ])
  for (const [listeners, wait] of [
    [[tls], 0.3],
    [[tls, { name: 'http', protocol: 'HTTP', port: 80 }], 5.6], // longer than LIMITS.clientHelloMs
  ] as const) {
    const outcomes = await runProbes(world, `LONG = ${wait}${SCRIPT}`, { manifests: [gateway({ listeners }), l4] })
    const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
    assertOutcomes(outcomes, /^200 /, named(/^fine/))
    assertOutcomes(outcomes, /^(421 CLRK_AUTHORITY_MISMATCH|400 CLRK_HTTP_MALFORMED|reset|closed)$/, named(/^request/))
    assertOutcomes(outcomes, /^(CLRK_SERVER_NAME_MISMATCH|reset)$/, named(/^hello/))
  }
  const targets = (await world.requests()).map(({ server, target }) => `${server}${target}`)
  assert.deepEqual(
    targets.filter(target => !/^echo\.example\.com\/fine/.test(target)),
    [],
  )
  const reached = (await world.arrivals()).map(({ bytes }) => bytes).join('\n')
  assert.doesNotMatch(reached, /HTTP|other/)
  for (const word of ['client speaks', 'word']) assert.ok(reached.includes(word)) // a protocol of its own works
})

const SCRIPT = `
import threading, time
OTHER = b" /other HTTP/1.1\\r\\nHost: other.example.com\\r\\n\\r\\n"

def plain(*pieces, wait=0.3, port=80, host="echo.example.com"):
    with dial(host, port) as connection:
        for index, piece in enumerate(pieces):
            if index: time.sleep(wait)
            connection.sendall(piece)
        return answer(connection)

attempt("fine", plain, get("echo.example.com", "/fine/plain"))
attempt("fine, after an empty line", plain, b"\\r\\n" + get("echo.example.com", "/fine/line"))
attempt("fine, another method", plain, get("echo.example.com", "/fine/m").replace(b"GET", b"M-SEARCH"))
attempt("fine, in pieces", plain, b"G", b"E", get("echo.example.com", "/fine/p")[2:])
jobs = []
def together(*arguments, **options):
    jobs.append(threading.Thread(target=lambda: attempt(*arguments[:1], lambda: arguments[1](*arguments[2:], **options))))
    jobs[-1].start()
for port, host in ((80, "echo.example.com"), (8443, "files.example.com")):
    for name, beginning in (
        ("an empty line", b"\\r\\nGET"), ("two empty lines", b"\\r\\n\\r\\nGET"), ("LF", b"\\nGET"), ("lower case", b"get"),
        ("an odd method", b"M-SEARCH"), ("a long method", b"X" * 30), ("a quoted method", b"'GET'"), ("a digit", b"2GET"),
    ):
        together(f"request, {name}, {port}", plain, beginning + OTHER, port=port, host=host)
    together(f"request, empty lines, {port}", plain, b"\\r\\n" * 40 + b"GET" + OTHER, port=port, host=host)
    together(f"request, absolute, {port}", plain, b"get http://other.example.com/other HTTP/1.1\\r\\nHost: other.example.com\\r\\n\\r\\n", port=port, host=host)
    together(f"request, slow, {port}", plain, b"GE", b"T" + OTHER, wait=LONG, port=port, host=host)
    together(f"request, slow head, {port}", plain, b"GET" + OTHER[:30], OTHER[30:], wait=LONG, port=port, host=host)
    together(f"request, slow lower case, {port}", plain, b"ge", b"t" + OTHER, wait=LONG, port=port, host=host)
    together(f"request, after silence, {port}", plain, b"", b"GET" + OTHER, wait=0.6, port=port, host=host)

def ended(data, port, host):
    with dial(host, port) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return answer(connection)
for port, host in ((80, "echo.example.com"), (8443, "files.example.com")):
    together(f"request, HTTP/0.9, {port}", ended, b"GET /other\\r\\n", port, host)

def hello(wait, cut=None):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(incoming, outgoing, server_hostname="other.example.com")
    with dial("files.example.com", 8443) as connection:
        def step(action):
            while True:
                try: return action()
                except ssl.SSLWantReadError:
                    send(outgoing.read())
                    data = connection.recv(65536)
                    if not data: raise http.client.RemoteDisconnected()
                    incoming.write(data)
        first = True
        def send(data):
            nonlocal first
            if first:
                if cut: connection.sendall(data[:cut])
                time.sleep(wait)
                data, first = data[cut or 0:], False
            if data: connection.sendall(data)
        step(tls.do_handshake)
        tls.write(get("other.example.com"))
        send(outgoing.read())
        return json.loads(step(lambda: tls.read(65536)).split(b"\\r\\n\\r\\n")[1])["code"]
together("hello", hello, 0)
together("hello, after silence", hello, 0.6)
together("hello, one byte then silence", hello, 0.6, 1)
together("hello, a part, then much silence", hello, LONG, 60)
for job in jobs: job.join()
for wait in (0, 0.6):
    with dial("files.example.com", 5432) as connection: time.sleep(wait); connection.sendall(b"client speaks\\n"); time.sleep(0.3)
with dial("files.example.com", 5432) as connection:
    for piece in (b"word", b" and more"): connection.sendall(piece); time.sleep(0.4)
`
