/**
 * One sandbox that opens, asks for, sends and leaves lying all that it can is refused past its own limits, and another
 * on the same shard goes on. T28, T50, T106, T115.
 */
import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { auditLines, clrkStatus, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { gateway, l4Route } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'
import { assertOutcomes, runProbes } from './probe.ts'

test('a sandbox that uses up all it can harms no other one', async t => {
  const world = await createWorld(t)
  const hosts = ['echo.example.com', '*.many.example.com']
  await startWorker(world, [gateway({ isolation: 'shared' }), l4Route([{ destinationHostnames: hosts }])])
  const limits = ['--memory', '1Gi']
  const named = { arguments: ['--gateway', 'test', ...limits] }
  const attacker = spawnClrkRun(world, ['python3', '-uc', ATTACKER], named)
  await attacker.saw(/done|Traceback/)
  // The other shards get one each, so that the victim comes to the attacker's.
  const others = Array.from({ length: availableParallelism() - 1 }, () =>
    spawnClrkRun(world, ['sh', '-c', 'echo up; exec sleep 300'], named),
  )
  await Promise.all(others.map(other => other.saw(/up/)))
  const { shards } = await clrkStatus(world)
  assert.deepEqual(new Set(shards.map(({ sandboxes }) => sandboxes)), new Set([1]))

  const { victim, dns } = await runProbes(world, VICTIM, named)
  assert.match(victim ?? '', /^200 /)
  assert.equal(dns, 'code 0, 1 answers')
  const after = await clrkStatus(world)
  assert.deepEqual(
    after.shards.map(({ restarts }) => restarts),
    after.shards.map(() => 0),
  )

  const { stdout, stderr } = attacker.written()
  assert.match(stdout, /done/, stderr)
  const seen = JSON.parse(stdout.split('\n')[0] ?? '') as Record<string, string>
  assertOutcomes(seen, /^1[0-9]{3}|20[0-4][0-9]$/, ['connections held'])
  assertOutcomes(seen, /^4[0-9]{3} of 4600$/, ['names'])
  assertOutcomes(seen, /^(stopped after [0-9]{1,2} MB)$/, ['DNS without reading'])
  assertOutcomes(seen, /^4(00|31) CLRK_(HTTP_MALFORMED|HEAD_TOO_LARGE)$/, [
    'large head',
    'many fields',
    'extensions',
    'trailers',
    'odd names',
  ])

  const log = join(stateOf(world), 'audit/audit.jsonl')
  assert.ok(statSync(log).size < 2_000_000)
  assert.doesNotMatch(readFileSync(log, 'latin1'), /[\x00-\x09\x0b-\x1f\x7f]/) // one line each, nothing a terminal obeys
  const codes = new Set(auditLines(world).map(({ fault }) => fault.code))
  assert.ok(codes.has('CLRK_LIMIT') && codes.has('CLRK_NAME_NOT_ALLOWED'))
  for (const run of [attacker, ...others]) run.kill('SIGTERM')
  await Promise.all([attacker, ...others].map(({ exited }) => exited))
})

const VICTIM = `
attempt("victim", https, "echo.example.com", "/victim")
attempt("dns", dns, "9.9.9.9", "victim.many.example.com")
`

const PRELUDE = readFileSync(join(import.meta.dirname, 'prelude.py'), 'utf8')
const ATTACKER = `${PRELUDE}
import time
def big(*fields, line="POST /big HTTP/1.1", body=b""):
    head = "\\r\\n".join([line, "Host: echo.example.com", *fields, "", ""])
    return https("echo.example.com", request=head.encode("latin1") + body)
CHUNKED = "Transfer-Encoding: chunked"
attempt("large head", big, "X-A: " + "a" * 70000)
attempt("many fields", big, *["X-A: a"] * 300)
attempt("extensions", lambda: big(CHUNKED, body=b"1;" + b"x" * 5000 + b"\\r\\na\\r\\n0\\r\\n\\r\\n"))
attempt("trailers", lambda: big(CHUNKED, body=b"0\\r\\n" + b"X-T: 1\\r\\n" * 3000 + b"\\r\\n"))
attempt("odd names", lambda: big(line="GET /\\x1b[2J\\r HTTP/1.1"))
for number in range(40): attempt(f"refused {number}", https, f"x{number}.denied.example.com")
attempt("escape in a name", dns, "9.9.9.9", "a\\x1b[2J\\n{}.denied.example.com")
attempt("quote in a name", dns, "9.9.9.9", 'a\\",\\"b.denied.example.com')

def names():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT)
        s.connect(("9.9.9.9", 53))
        got = 0
        for number in range(4600):
            labels = b"".join(bytes([len(l)]) + l for l in (b"n%d" % number, b"many", b"example", b"com"))
            s.send(struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack(">HH", 1, 1))
            got += s.recv(4096)[3] & 15 == 0
        return f"{got} of 4600"
attempt("names", names)

def unread():
    labels = b"".join(bytes([63]) + b"x" * 63 for _ in range(3)) + bytes([4]) + b"many" + bytes([7]) + b"example" + bytes([3]) + b"com"
    message = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack(">HH", 1, 1)
    data = (struct.pack(">H", len(message)) + message) * 200
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(8)
        s.connect(("9.9.9.9", 53))
        sent = 0
        try:
            while sent < 100 << 20: sent += s.send(data)
        except OSError: return f"stopped after {sent >> 20} MB"
        return f"sent {sent >> 20} MB"
attempt("DNS without reading", unread)

held = []
def hold():
    for number in range(2300):
        s = socket.socket()
        s.settimeout(4)
        try:
            s.connect(("echo.example.com", 443))
            s.sendall(b"\\x16")
            held.append(s)
        except OSError: break
    time.sleep(0.5)
    alive = 0
    for s in held:
        s.settimeout(0)
        try: s.recv(1)
        except BlockingIOError: alive += 1
        except OSError: pass
    return str(alive)
attempt("connections held", hold)
report()
print("done")
time.sleep(300)
`
