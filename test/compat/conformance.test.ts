/** What the standards ask of an HTTP server, asked of the agent's leg from inside a sandbox: RFC 9113 and RFC 9112. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace } from '../world/clrk.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment } from './tools.ts'

test('HTTP/2: every case of h2spec, strict ones included', async t => {
  const { inside, workspace } = await open(t)
  const argv = ['h2spec', '--strict', '--tls', '--insecure', '--host', 'echo.example.com', '--port', '443']
  const { stdout } = await inside([...argv, '--timeout', '3', '--junit-report', 'report.xml'])
  const report = readFileSync(join(workspace, 'report.xml'), 'utf8')
  const cases = [...report.matchAll(/<testcase package="([^"]+)" classname="([^"]+)"[^>]*>(<failure>)?/g)]
  assert.equal(cases.length, 146, stdout)
  const failed = cases.flatMap(([, section, what, failure]) => (failure === undefined ? [] : [`${section} ${what}`]))
  assert.deepEqual(failed, [], stdout)
})

test('HTTP/1.1: what must be answered is, and what has two meanings is refused and ends the connection', async t => {
  const { world, inside } = await open(t)
  const input = JSON.stringify(CASES.map(({ sent }) => sent))
  const { code, stdout, stderr } = await inside(['python3', '-c', RAW_CLIENT], input)
  assert.equal(code, 0, stderr)
  const answers = JSON.parse(stdout) as readonly string[]
  for (const [at, { name, expected }] of CASES.entries()) {
    await t.test(name, () => {
      const heads = answers[at]?.match(/HTTP\/1\.[01] \d{3}/g) ?? []
      assert.deepEqual(
        heads.map(head => Number(head.slice(9))),
        expected,
        answers[at],
      )
    })
  }
  await t.test('of those that were refused, none arrived', async () => {
    const targets = (await world.requests()).map(({ target }) => target)
    assert.deepEqual(
      targets.filter(target => target.startsWith('/refused')),
      [],
    )
    assert.equal(targets.length, CASES.flatMap(({ expected }) => expected.filter(status => status === 200)).length)
  })
})

const last = 'Host: echo.example.com\r\nConnection: close\r\n\r\n'
const host = 'Host: echo.example.com\r\n'

type Case = { readonly name: string; readonly sent: string; readonly expected: readonly number[] }

const CASES: readonly Case[] = [
  answered('GET with close', `GET /a HTTP/1.1\r\n${last}`),
  answered('two in a row', `GET /a HTTP/1.1\r\n${host}\r\nGET /b HTTP/1.1\r\n${last}`, 200, 200),
  answered(
    'five at once, in order',
    `${`GET /a HTTP/1.1\r\n${host}\r\n`.repeat(4)}HEAD /b HTTP/1.1\r\n${last}`,
    200,
    200,
    200,
    200,
    200,
  ),
  answered('HTTP/1.0 closes by itself', `GET /a HTTP/1.0\r\n${host}\r\n`),
  answered('an empty line in front (§2.2)', `\r\nGET /a HTTP/1.1\r\n${last}`),
  answered('field names in any case', `GET /a HTTP/1.1\r\nhOsT: echo.example.com\r\nCONNECTION: Close\r\n\r\n`),
  answered('the port in Host', `GET /a HTTP/1.1\r\nHost: echo.example.com:443\r\nConnection: close\r\n\r\n`),
  answered('a body by its length', `POST /a HTTP/1.1\r\nContent-Length: 3\r\n${last}abc`),
  answered(
    'a body in chunks, with extension and trailer (§7.1)',
    `POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${last}3;x=y\r\nabc\r\n0\r\nX-Trailer: z\r\n\r\n`,
  ),
  answered('a body on GET', `GET /a HTTP/1.1\r\nContent-Length: 3\r\n${last}abc`),
  answered(
    'Expect without the client waiting',
    `POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n${last}abc`,
    100,
    200,
  ),
  answered('OPTIONS *', `OPTIONS * HTTP/1.1\r\n${last}`),
  answered('an unknown method', `PURGE /a HTTP/1.1\r\n${last}`),
  refused('no Host (§3.2)', 'GET /refused HTTP/1.1\r\nConnection: close\r\n\r\n'),
  refused('two Hosts (§3.2)', `GET /refused HTTP/1.1\r\n${host}${last}`),
  refused('another Host', 'GET /refused HTTP/1.1\r\nHost: other.example.com\r\nConnection: close\r\n\r\n', 421),
  refused('whitespace before the colon (§5.1)', `GET /refused HTTP/1.1\r\nX : y\r\n${last}`),
  refused('a folded line (§5.2)', `GET /refused HTTP/1.1\r\nX: y\r\n z\r\n${last}`),
  refused('a bare CR (§2.2)', `GET /refused HTTP/1.1\r\nX: y\rz\r\n${last}`),
  refused(
    'length and chunks (§6.1)',
    `POST /refused HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n${last}0\r\n\r\n`,
  ),
  refused('two lengths (§6.3)', `POST /refused HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n${last}abc`),
  refused('a length with a sign', `POST /refused HTTP/1.1\r\nContent-Length: +3\r\n${last}abc`),
  refused(
    'chunked is not last (§6.3)',
    `POST /refused HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n${last}0\r\n\r\n`,
  ),
  refused('another version (§2.3)', `GET /refused HTTP/2.0\r\n${last}`),
  refused('no version', `GET /refused\r\n${last}`),
  refused('a space in the target (§3.2)', `GET /refused here HTTP/1.1\r\n${last}`),
  refused('absolute form', `GET https://echo.example.com/refused HTTP/1.1\r\n${last}`),
  refused('CONNECT', `CONNECT other.example.com:443 HTTP/1.1\r\n${last}`, 405),
  refused('TRACE', `TRACE /refused HTTP/1.1\r\n${last}`, 405),
]

function answered(name: string, sent: string, ...expected: readonly number[]): Case {
  return { name, sent, expected: expected.length === 0 ? [200] : expected }
}

/** What comes behind it would be the second of two requests, to whoever reads it otherwise. */
function refused(name: string, sent: string, status = 400): Case {
  return { name: `refused: ${name}`, sent: `${sent}GET /refused-too HTTP/1.1\r\n${last}`, expected: [status] }
}

/** Sends each case on a connection of its own, and prints what came until the other side ended it. */
const RAW_CLIENT = `
import json, socket, ssl, sys
def ask(sent):
    connection = socket.create_connection(("echo.example.com", 443), 10)
    with ssl.create_default_context().wrap_socket(connection, server_hostname="echo.example.com") as secured:
        secured.sendall(sent.encode("latin1"))
        got = b""
        while chunk := secured.recv(65536): got += chunk
        return got.decode("latin1")
print(json.dumps([ask(sent) for sent in json.load(sys.stdin)]))
`

async function open(t: test.TestContext) {
  const world = await createWorld(t)
  const workspace = makeWorkspace(world)
  const options = { allow: ['echo.example.com'], workspace, cwd: workspace, env: callerEnvironment(world) }
  const inside = (argv: readonly string[], input = '') => clrkRun(world, argv, { ...options, input })
  return { world, workspace, inside }
}
