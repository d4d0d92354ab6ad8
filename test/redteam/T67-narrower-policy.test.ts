/** A connection that was allowed ends when the policy no longer allows it; what still is allowed goes on. T67. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { connect } from '../../src/api/client.ts'
import { makeWorkspace, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { eventually } from '../world/eventually.ts'
import { gateway, l4Route } from '../world/manifests.ts'
import { testEverywhere } from '../world/runtimes.ts'

testEverywhere('a policy that becomes narrower closes what it no longer allows', async world => {
  const echo = { destinationHostnames: ['echo.example.com'], ports: [{ port: 443 }] }
  const raw = { destinationHostnames: ['other.example.com'], ports: [{ port: 5432 }] }
  const other = { destinationHostnames: ['other.example.com'], ports: [{ port: 443 }] }
  await startWorker(world, [gateway(), l4Route([echo, raw, other])])
  const workspace = makeWorkspace(world)
  const agent = spawnClrkRun(world, ['python3', '-c', AGENT], {
    workspace,
    cwd: workspace,
    arguments: ['--gateway', 'test'],
  })
  await eventually(() => existsSync(join(workspace, 'open')) || null)
  await eventually(async () => (await world.arrivals()).length > 0 || null) // the raw connection is open on the other side

  const client = await connect(stateOf(world))
  const text = [gateway(), l4Route([echo])].map(resource => stringify(resource)).join('---\n')
  await client.apply({
    files: [{ path: 'narrower.yaml', text }],
    secrets: [],
    programDirectory: null,
    mockProvider: null,
  })
  client.close()
  writeFileSync(join(workspace, 'narrowed'), '')
  assert.equal((await agent.exited).code, 0)
  assert.deepEqual(JSON.parse(readFileSync(join(workspace, 'outcomes'), 'utf8')), {
    'raw connection': 'closed',
    'open TLS connection': 'closed',
    'new raw connection': 'closed',
    'allowed TLS connection': '200',
  })
})

const AGENT = `import json, os, socket, ssl, time
def tls(name):
    raw = socket.create_connection((name, 443), timeout=3)
    return ssl.create_default_context().wrap_socket(raw, server_hostname=name)
def ask(connection, name):
    try:
        connection.sendall(b"GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % name.encode())
        answer = connection.recv(65536)
        return answer.split()[1].decode() if answer else "closed"
    except OSError as error:
        return "closed" if isinstance(error, ConnectionError) else repr(error)
def closed(connect):
    try:
        connection = connect()
        connection.settimeout(3)
        return "closed" if connection.recv(1) == b"" else "open"
    except OSError as error:
        return "closed" if isinstance(error, ConnectionError) else repr(error)
raw = socket.create_connection(("other.example.com", 5432), timeout=3)
raw.sendall(b"hello")
open_tls, allowed = tls("other.example.com"), tls("echo.example.com")
assert ask(open_tls, "other.example.com") == ask(allowed, "echo.example.com") == "200"
open("open", "w").close()
while not os.path.exists("narrowed"): time.sleep(0.01)
outcomes = {
    "raw connection": closed(lambda: raw),
    "open TLS connection": ask(open_tls, "other.example.com"),
    "new raw connection": closed(lambda: socket.create_connection(("other.example.com", 5432), timeout=3)),
    "allowed TLS connection": ask(allowed, "echo.example.com"),
}
open("outcomes", "w").write(json.dumps(outcomes))
`
