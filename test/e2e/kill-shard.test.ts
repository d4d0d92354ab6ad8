/** A killed shard: its sandboxes are cut off until the next one serves them; those of other shards notice nothing. T68. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { clrkStatus, spawnClrkRun, startWorker } from '../world/clrk.ts'
import { eventually } from '../world/eventually.ts'
import type { MachineProcess } from '../world/machine.ts'
import { createWorld } from '../world/world.ts'

test('kill -9 of a shard', async t => {
  const world = await createWorld(t)
  await startWorker(world, [])
  const { pid: worker, shards } = await clrkStatus(world)
  const agents = new Map<number, { agent: MachineProcess; shard: number }>()
  const counts = new Map<number, number>()
  while (new Set([...agents.values()].map(({ shard }) => shard)).size < Math.min(2, shards.length)) {
    const number = agents.size
    assert.ok(number < 8, 'eight sandboxes, all on one shard')
    const agent = spawnClrkRun(world, ['python3', '-u', '-c', AGENT, String(number)], {
      allow: ['echo.example.com'],
      input: 'open',
    })
    await agent.saw(/up/)
    const now = (await clrkStatus(world)).shards
    const grown = now.find(({ index, sandboxes }) => sandboxes > (counts.get(index) ?? 0))
    for (const { index, sandboxes } of now) counts.set(index, sandboxes)
    agents.set(number, { agent, shard: grown?.index ?? assert.fail('no shard has it') })
  }
  const ask = async (number: number, how: 'open' | 'new') => {
    const { agent } = agents.get(number) ?? assert.fail()
    const lines = agent.written().stdout.split('\n').length
    agent.stdin.write(`${how}\n`)
    const answer = () =>
      agent
        .written()
        .stdout.split('\n')
        .slice(lines - 1, -1)[0]
    return eventually(answer).catch(() => assert.fail(`no answer from ${number}: ${JSON.stringify(agent.written())}`))
  }
  for (const number of agents.keys()) assert.equal(await ask(number, 'open'), 'open 200')

  const last = agents.size - 1
  const victim = agents.get(last)?.shard ?? -1
  const shard = (await clrkStatus(world)).shards.find(({ index }) => index === victim)
  const signal = (name: string, pid: number | null | undefined) => world.host(['kill', `-${name}`, String(pid)])

  await signal('STOP', worker) // so that nobody starts the next one yet
  await signal('KILL', shard?.pid)
  const earlier = (await world.requests()).length
  assert.match(await ask(last, 'open'), /^open (?!200)/)
  assert.match(await ask(last, 'new'), /^new (?!200)/)
  assert.equal((await world.requests()).length, earlier)
  assert.deepEqual(await world.arrivals(), [])
  for (const [number, { shard }] of agents) {
    if (shard !== victim) assert.equal(await ask(number, 'open'), 'open 200')
  }

  await signal('CONT', worker)
  await eventually(async () => ((await ask(last, 'new')) === 'new 200' ? true : null))
  for (const [number, { shard }] of agents) {
    if (shard !== victim) assert.equal(await ask(number, 'open'), 'open 200') // still the first connection
  }
  for (const { agent } of agents.values()) agent.stdin.end()
  for (const { agent } of agents.values()) assert.equal((await agent.exited).code, 0)
})

/**
 * For each line on stdin one request, on the first connection ("open", never reopened) or on another ("new"), to the
 * address that the name had at first: a look-up takes its own, longer time where nobody answers.
 */
const AGENT = `import socket, ssl, sys
address = socket.getaddrinfo("echo.example.com", 443)[0][4]
context = ssl.create_default_context()
def connect():
    connection = socket.create_connection(address[:2], timeout=2)
    return context.wrap_socket(connection, server_hostname="echo.example.com")
def ask(connection):
    connection.sendall(f"GET /{sys.argv[1]} HTTP/1.1\\r\\nHost: echo.example.com\\r\\n\\r\\n".encode())
    answer = connection.recv(65536)
    return answer.split()[1].decode() if answer else "closed"
first = connect()
print("up")
while True:
    how = sys.stdin.readline().strip()
    if not how: break
    try: print(how, ask(first if how == "open" else connect()))
    except Exception as error: print(how, repr(error).replace("\\n", " "))
`
