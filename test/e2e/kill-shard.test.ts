/** A killed shard: its sandboxes are cut off until the next one serves them; those of other shards notice nothing. T68. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clrkStatus, makeWorkspace, spawnClrkRun, startWorker } from '../world/clrk.ts'
import { eventually } from '../world/eventually.ts'
import { allowHosts, gateway } from '../world/manifests.ts'
import { testEverywhere } from '../world/runtimes.ts'

testEverywhere('kill -9 of a shard', async world => {
  await startWorker(world, [])
  const manifests = [gateway({ isolation: 'process' }), allowHosts('echo.example.com')]
  /** Starts an agent that has a shard of its own, and gives what asks it for one request. */
  const startAgent = async (name: string) => {
    const workspace = makeWorkspace(world, name)
    const answers = join(workspace, 'answers')
    writeFileSync(answers, '')
    const hosting = new Set((await clrkStatus(world)).shards.filter(s => s.sandboxes > 0).map(({ index }) => index))
    const agent = spawnClrkRun(world, ['python3', '-c', AGENT], { manifests, workspace, cwd: workspace, user: '0' })
    await eventually(() => readFileSync(answers, 'utf8').startsWith('up\n') || null)
    const shard = (await clrkStatus(world)).shards.find(s => s.sandboxes > 0 && !hosting.has(s.index))
    let asked = 0
    const ask = (how: 'open' | 'new' | 'end') => {
      writeFileSync(join(workspace, `ask-${++asked}`), how)
      return eventually(() => readFileSync(answers, 'utf8').split('\n').slice(asked, -1)[0])
    }
    return { agent, ask, shard: shard ?? assert.fail('no shard of its own') }
  }
  const other = await startAgent('other')
  const victim = await startAgent('victim')
  for (const { ask } of [other, victim]) assert.equal(await ask('open'), 'open 200')
  const { pid: worker } = await clrkStatus(world)
  const signal = (name: string, pid: number | null) => world.host(['kill', `-${name}`, String(pid)])

  await signal('STOP', worker) // so that nobody starts the next one yet
  await signal('KILL', victim.shard.pid)
  const earlier = (await world.requests()).length
  assert.match(await victim.ask('open'), /^open (?!200)/)
  assert.match(await victim.ask('new'), /^new (?!200)/)
  assert.equal((await world.requests()).length, earlier)
  assert.deepEqual(await world.arrivals(), [])
  assert.equal(await other.ask('open'), 'open 200')

  await signal('CONT', worker)
  await eventually(async () => ((await victim.ask('new')) === 'new 200' ? true : null))
  assert.equal(await other.ask('open'), 'open 200') // still its first connection
  for (const { ask, agent } of [other, victim]) {
    await ask('end')
    assert.equal((await agent.exited).code, 0)
  }
})

/**
 * For each file `ask-N` one request, on the first connection ("open", never reopened) or on another ("new"), to the
 * address that the name had at first: a look-up takes its own, longer time where nobody answers. Files, because the
 * worker carries the standard streams.
 */
const AGENT = `import os, socket, ssl, time
address = socket.getaddrinfo("echo.example.com", 443)[0][4]
context = ssl.create_default_context()
def connect():
    connection = socket.create_connection(address[:2], timeout=2)
    return context.wrap_socket(connection, server_hostname="echo.example.com")
def ask(connection):
    connection.sendall(b"GET / HTTP/1.1\\r\\nHost: echo.example.com\\r\\n\\r\\n")
    answer = connection.recv(65536)
    return answer.split()[1].decode() if answer else "closed"
def say(*words):
    with open("answers", "a") as file: print(*words, file=file)
first = connect()
say("up")
number, how = 1, ""
while how != "end":
    while not (os.path.exists(f"ask-{number}") and (how := open(f"ask-{number}").read())): time.sleep(0.01)
    number += 1
    try: say(how, how if how == "end" else ask(first if how == "open" else connect()))
    except Exception as error: say(how, repr(error).replace("\\n", " "))
`
