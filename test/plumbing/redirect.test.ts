import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { clrkError } from '../../src/errors.ts'
import { takeConnection } from '../../src/kernel/syscalls.ts'
import { applyPlumbing, proveRedirect } from '../../src/plumbing/apply.ts'
import { type PlumbedNamespace, plumbNamespace } from '../../src/plumbing/netns.ts'

async function plumbed(t: { after: (end: () => void) => void }): Promise<PlumbedNamespace> {
  const namespace = await plumbNamespace()
  t.after(namespace.close)
  return namespace
}

/** Runs a Python program inside; what it prints is JSON. */
function inside({ path }: PlumbedNamespace, program: string): unknown {
  const { stdout, stderr } = spawnSync('nsenter', [`--net=${path}`, 'python3', '-c', program], { encoding: 'utf8' })
  assert.notEqual(stdout, '', stderr)
  return JSON.parse(stdout)
}

test('every TCP destination arrives at the proxy’s socket with its original address', async t => {
  const namespace = await plumbed(t)
  const destinations = [
    ['192.0.2.7', 443],
    ['198.51.100.9', 22],
    ['169.254.169.254', 80],
    ['10.1.2.3', 15001],
    ['::ffff:203.0.113.4', 8443],
    ['2001:db8::7', 6379],
  ] as const
  inside(
    namespace,
    `
import socket, json
for host, port in ${JSON.stringify(destinations)}:
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    s.settimeout(2)
    s.connect((host, port))
print(json.dumps(True))`,
  )
  const arrived = destinations.map(() => takeConnection(namespace.sockets[0]))
  assert.deepEqual(arrived, [
    { address: '192.0.2.7', port: 443 },
    { address: '198.51.100.9', port: 22 },
    { address: '169.254.169.254', port: 80 },
    { address: '10.1.2.3', port: 15001 },
    { address: '203.0.113.4', port: 8443 },
    { address: '2001:db8:0:0:0:0:0:7', port: 6379 },
  ])
})

test('everything that is neither TCP nor DNS is refused at once, in both families', async t => {
  const namespace = await plumbed(t)
  const refused = inside(
    namespace,
    `
import socket, json, errno, time
out = {}
def attempt(name, action):
    start = time.monotonic()
    try:
        action(); out[name] = 'sent'
    except OSError as e:
        out[name] = errno.errorcode[e.errno] if time.monotonic() - start < 1 else 'slow'
def udp(family, host, port):
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(2); s.connect((host, port)); s.send(b'x'); s.recv(1)
attempt('quic', lambda: udp(socket.AF_INET, '192.0.2.7', 443))
attempt('quic6', lambda: udp(socket.AF_INET6, '2001:db8::7', 443))
attempt('ntp', lambda: udp(socket.AF_INET, '192.0.2.7', 123))
def raw():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.sendto(b'\\x08\\x00\\xf7\\xff\\0\\0\\0\\0', ('192.0.2.7', 0))
attempt('icmp as root', raw)
def direct(port):
    s = socket.socket(); s.settimeout(2); s.connect(('127.0.0.1', port))
attempt('proxy port', lambda: direct(15001))
attempt('dns port', lambda: direct(15053))
print(json.dumps(out))`,
  )
  assert.deepEqual(refused, {
    quic: 'EPERM',
    quic6: 'EPERM',
    ntp: 'EPERM',
    'icmp as root': 'EPERM',
    'proxy port': 'ECONNREFUSED',
    'dns port': 'ECONNREFUSED',
  })
})

test('a server of the agent’s own on loopback is its own affair', async t => {
  const namespace = await plumbed(t)
  const answer = inside(
    namespace,
    `
import socket, json
l = socket.socket(); l.bind(('127.0.0.1', 8080)); l.listen()
c = socket.create_connection(('127.0.0.1', 8080), 2); a, _ = l.accept(); a.send(b'mine'); print(json.dumps(c.recv(9).decode()))`,
  )
  assert.equal(answer, 'mine')
})

test('the sandbox cannot take the proxy’s or the responder’s port', async t => {
  const namespace = await plumbed(t)
  const taken = inside(
    namespace,
    `
import socket, json, errno
out = []
for kind, host, port in ((socket.SOCK_STREAM, '127.0.0.1', 15001), (socket.SOCK_DGRAM, '127.0.0.1', 15053), (socket.SOCK_DGRAM, '127.0.0.1', 15053)):
    s = socket.socket(socket.AF_INET, kind); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try: s.bind((host, port)); out.append('bound')
    except OSError as e: out.append(errno.errorcode[e.errno])
print(json.dumps(out))`,
  )
  assert.deepEqual(taken, ['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE'])
})

test('with its rules flushed the namespace still leads nowhere', async t => {
  const namespace = await plumbed(t)
  spawnSync('nsenter', [`--net=${namespace.path}`, 'nft', 'flush', 'ruleset'])
  const answer = inside(
    namespace,
    `
import socket, json, errno
s = socket.socket(); s.settimeout(2)
try: s.connect(('192.0.2.7', 443)); print(json.dumps('connected'))
except OSError as e: print(json.dumps(errno.errorcode.get(e.errno, 'timeout')))`,
  )
  assert.notEqual(answer, 'connected')
})

test('a step that fails names its program and words, and nothing is left', async t => {
  const namespace = await plumbed(t)
  await assert.rejects(applyPlumbing(namespace.netns, [{ argv: ['nft', '-f', '-'], stdin: 'nonsense' }]), error => {
    assert.ok(error instanceof Error)
    assert.match(error.message, /^a network namespace could not be set up: nft failed: .*nonsense/s)
    return true
  })
  await assert.rejects(applyPlumbing(namespace.netns, [{ argv: ['no-such-tool'], stdin: '' }]), {
    message: clrkError('CLRK_TOOL_MISSING', {
      tool: 'no-such-tool',
      path: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      package: 'no-such-tool',
    }).message,
  })
})

test('closing it cuts off what is still inside', async () => {
  const namespace = await plumbNamespace()
  const program =
    "import socket,sys\nprint(1, flush=True)\nsys.stdin.readline()\ns=socket.socket(); s.settimeout(2)\ntry:\n s.connect(('192.0.2.7',443)); print('connected')\nexcept OSError as e: print(type(e).__name__)"
  const child = spawn('nsenter', [`--net=${namespace.path}`, 'python3', '-c', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const output = text(child.stdout)
  await once(child.stdout, 'readable')
  namespace.close()
  child.stdin.end('\n')
  assert.equal(await output, '1\nConnectionRefusedError\n')
})

test('a signal in the middle of the self-test changes nothing', async t => {
  const namespace = await plumbed(t)
  // Children that end all the time: each end is a SIGCHLD for this process.
  const children = Array.from({ length: 40 }, () => spawn('true', { stdio: 'ignore' }))
  for (let round = 0; round < 200; round++) proveRedirect(namespace.netns, namespace.sockets[0])
  assert.throws(() => takeConnection(namespace.sockets[0]), { code: 'EAGAIN' })
  await Promise.all(children.map(child => child.exitCode ?? once(child, 'exit')))
})
