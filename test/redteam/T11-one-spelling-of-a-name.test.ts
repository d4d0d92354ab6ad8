/**
 * A name has one spelling, wherever it is said: what is spelled otherwise is that name or refused, never a third thing;
 * and nothing that is said makes another sandbox of the sender. T10–T13, T22, T48, T49, T100.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { gateway, l4Route } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'
import { assertOutcomes, runProbes } from './probe.ts'

const HOSTS = l4Route([
  { destinationHostnames: ['echo.example.com'], ports: [{ port: 443 }] },
  { destinationHostnames: ['*.wild.example.com', 'xn--bcher-kva.example.com'], ports: [{ port: 443 }] },
])

test('spellings of names and addresses, old TLS, and claims to be somebody else', async t => {
  const world = await createWorld(t)
  const outcomes = await runProbes(world, SCRIPT, { manifests: [gateway(), HOSTS] })
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^200 /, named(/^same/))
  assertOutcomes(outcomes, /^(421 CLRK_AUTHORITY_MISMATCH|400 CLRK_HTTP_MALFORMED)$/, named(/^other/))
  assertOutcomes(outcomes, /^own address$/, named(/^allowed name/))
  assertOutcomes(outcomes, /^(explaining address|code 3|code 1)$/, named(/^denied name/))
  assertOutcomes(outcomes, /^(reset|refused|no address.*|closed|TLS.*)$/, named(/^address/))
  assertOutcomes(outcomes, /^TLS/, named(/^old TLS/))
  assert.match(outcomes['TLS 1.2'] ?? '', /^200 /)
  assert.equal(outcomes.renegotiation, 'no')
  assert.equal(outcomes['early data'], '0')
  assert.equal(outcomes['session of another name'], 'new')
  assertOutcomes(outcomes, /^(reset|closed|400 .*|421 .*)$/, named(/^claim/))
  for (const { server, target, fields } of await world.requests()) {
    assert.match(`${server}${target}`, /^echo\.example\.com\/same/)
    assert.ok(
      fields.some(([name, value]) => /^host$/i.test(name) && /^echo\.example\.com(:443)?\.?(:443)?$/i.test(value)),
    )
  }
  assert.deepEqual(await world.arrivals(), [])
  const asked = new Set((await world.queries()).map(({ name }) => name.toLowerCase().replace(/\.$/, '')))
  assert.deepEqual([...asked], ['echo.example.com']) // no other spelling was ever looked up
})

test('an encrypted hello: the outer name decides where TLS ends here, and it is refused where it passes', async t => {
  const world = await createWorld(t)
  const terminating = await runProbes(world, ECH, { manifests: [gateway(), HOSTS] })
  assert.deepEqual(terminating, { plain: 'server hello', 'with ECH': 'server hello' })
  const listeners = [{ name: 'tls', protocol: 'TLS', tls: { mode: 'Passthrough' } }]
  const passing = await runProbes(world, ECH, { manifests: [gateway({ listeners }), HOSTS] })
  assert.deepEqual(passing, { plain: 'server hello', 'with ECH': 'reset' })
})

const SCRIPT = `
def ask(host, path="/same"):
    return https("echo.example.com", request=f"GET {path} HTTP/1.1\\r\\nHost: ".encode() + host + b"\\r\\n\\r\\n")
for name in (b"echo.example.com", b"ECHO.Example.COM", b"echo.example.com.", b"echo.example.com:443", b"echo.example.com.:443"):
    attempt(f"same: {name}", ask, name)
for name in (
    "\\uff45cho.example.com".encode(), "echo\\u3002example.com".encode(), b"echo%2eexample.com", b"echo.example.com%00", b"echo.example.com..",
    b".echo.example.com", b"echo.example.com:0443x", b"echo.example.com:", b"echo.example.com:443:443", b"echo.example.com@echo.example.com",
    b"echo.example.com/", b"echo.example.com\\\\", b"echo.example.com?x", b"echo.example.com#x", b"echo.example.com,other.example.com",
    b"echo.example.com other.example.com", b"[echo.example.com]", b"echo_example.com", b"xn--echo-.example.com", b"0x5db8d70e", b"1572394766",
    b"93.184.215.14", b"[::ffff:93.184.215.14]", b"other.example.com", b"*.example.com", b"echo.example.com\\xad", b"", b"_", b"-echo.example.com",
): attempt(f"other: {name}", ask, name, "/wrong")

def said(name, raw=None):
    labels = raw if raw is not None else b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + b"\\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(("9.9.9.9", 53))
        connection.send(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", 1, 1))
        message = connection.recv(4096)
    if message[3] & 15: return f"code {message[3] & 15}"
    address = socket.inet_ntoa(message[-4:])
    return "explaining address" if address == "198.18.0.2" else "own address"
for name in ("echo.example.com", "EcHo.eXample.com", "a.wild.example.com", "XN--BCHER-KVA.example.com", "b\\u00fccher.example.com"):
    attempt(f"allowed name {name}", said, name)
for name in (
    "wild.example.com", "a.b.wild.example.com", "xwild.example.com", "a.wild.example.com.evil.org", "wild.example.com.evil.org", "*.wild.example.com",
    "a.wild.example.comx", "xn--bcher-kvb.example.com", "echo.example.co", "127.1", "0x7f.1", "017700000001", "2130706433", "1.0.0.127.in-addr.arpa",
    "localhost", "echo", "echo example.com", "echo/example.com", "echo.example.com@x.org",
): attempt(f"denied name {name}", said, name)
attempt("allowed name, a dot inside a label", said, "", b"\\x10echo.example.com\\0")
attempt("denied name, a NUL inside", said, "", b"\\x05echo\\0\\x07example\\x03com\\0")
for address in ("127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0x5db8d70f", "[::1]", "0", "93.184.55055", "::ffff:127.0.0.1", "::127.0.0.1"):
    attempt(f"address {address}", lambda: (lambda c: (c.sendall(get(address)), answer(c))[1])(tls(address.strip("[]"), 443)))

def version(maximum):
    context = ssl.create_default_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, maximum
    with context.wrap_socket(dial("echo.example.com", 443), server_hostname="echo.example.com") as connection:
        connection.sendall(get("echo.example.com", "/same"))
        return answer(connection)
import warnings
warnings.simplefilter("ignore")
attempt("old TLS 1.0", version, ssl.TLSVersion.TLSv1)
attempt("old TLS 1.1", version, ssl.TLSVersion.TLSv1_1)
attempt("TLS 1.2", version, ssl.TLSVersion.TLSv1_2)

def openssl(*arguments, typed="Q\\n", seconds=1):
    argv = ["openssl", "s_client", "-connect", "echo.example.com:443", "-servername", "echo.example.com", *arguments]
    client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    import time
    time.sleep(seconds)
    return client.communicate(typed, timeout=TIMEOUT)[0]
attempt("renegotiation", lambda: "no" if "no renegotiation" in openssl("-tls1_2", typed="R\\n") else "yes")
attempt("early data", lambda: (openssl("-tls1_3") + "Max Early Data: 0").split("Max Early Data: ")[1].split()[0])
def resumed():
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with context.wrap_socket(dial("echo.example.com", 443), server_hostname="echo.example.com") as first: session = first.session
    with context.wrap_socket(dial("a.wild.example.com", 443), server_hostname="a.wild.example.com", session=session) as second:
        return "reused" if second.session_reused else "new"
attempt("session of another name", resumed)

def claim(line):
    with dial("echo.example.com", 443) as connection:
        connection.sendall(line)
        return answer(connection)
attempt("claim: PROXY line", claim, b"PROXY TCP4 10.0.0.1 93.184.215.15 1 443\\r\\n" + get("other.example.com"))
attempt("claim: PROXY v2", claim, b"\\r\\n\\r\\n\\0\\r\\nQUIT\\n" + bytes.fromhex("2111000c0a0000015db8d70f000101bb"))
attempt("claim: SOCKS", claim, b"\\x05\\x01\\0")
`

const ECH = `
def hello(extra):
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="echo.example.com")
    try: client.do_handshake()
    except ssl.SSLWantReadError: pass
    message = outgoing.read()[9:]
    at = 34 + 1 + message[34]
    at += 2 + int.from_bytes(message[at:at + 2], "big")
    at += 1 + message[at]
    extensions = message[at + 2:] + extra
    message = message[:at] + len(extensions).to_bytes(2, "big") + extensions
    message = b"\\x01" + len(message).to_bytes(3, "big") + message
    with dial("echo.example.com", 443) as connection:
        connection.sendall(b"\\x16\\x03\\x01" + len(message).to_bytes(2, "big") + message)
        reply = connection.recv(6)
        return "server hello" if reply[:1] == b"\\x16" and reply[5:] == b"\\x02" else reply.hex() or "closed"
GREASE = b"\\0\\0\\x01\\0\\x01\\x07\\0\\x20" + b"k" * 32 + b"\\0\\x90" + b"p" * 144
attempt("plain", hello, b"")
attempt("with ECH", hello, b"\\xfe\\x0d" + len(GREASE).to_bytes(2, "big") + GREASE)
`
