/** HTTP clients of languages and runtimes: each is answered, with no option or variable of ours in the command. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import test from 'node:test'
import { clrkRun, startWorker } from '../world/clrk.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment, makeProject, RUST } from './tools.ts'

test('Deno, Bun, PHP, Ruby and Rust', async t => {
  const world = await createWorld(t)
  const workspace = makeProject(world)
  await startWorker(world, [])
  const options = { allow: ['echo.example.com'], workspace, cwd: workspace, env: callerEnvironment(world) }
  const [rust, pinned] = existsSync(RUST) ? [RUST_CLIENTS, [PINNED]] : [{}, []]

  for (const [client, script] of Object.entries({ ...CLIENTS, ...rust })) {
    await t.test(client, async () => {
      const target = `/${client.replaceAll(' ', '-')}`
      const command = script.replaceAll('URL', `https://echo.example.com${target}`)
      const earlier = (await world.requests()).length
      const { code, stdout, stderr } = await clrkRun(world, ['sh', '-ec', command], options)
      assert.equal(code, 0, stderr)
      assert.ok(stdout.includes(`"target":"${target}"`), stdout)
      assert.deepEqual(
        (await world.requests()).slice(earlier).map(({ target }) => target),
        [target],
      )
    })
  }

  for (const command of pinned) {
    await t.test('a client with compiled-in roots refuses, and nothing leaves', async () => {
      const earlier = (await world.requests()).length
      const { code, stderr } = await clrkRun(world, ['sh', '-ec', command], options)
      assert.notEqual(code, 0)
      assert.match(stderr, /UnknownIssuer/)
      assert.equal((await world.requests()).length, earlier)
    })
  }
  assert.deepEqual(await world.arrivals(), [])
})

const FETCH = `'console.log(await (await fetch("URL")).text())'`
const CLIENTS = {
  'Bun fetch': `bun -e ${FETCH}`,
  'Deno fetch': `deno eval ${FETCH}`,
  'PHP curl': `php -r '$c = curl_init("URL"); curl_exec($c) || exit(curl_error($c));'`,
  'PHP streams': `php -r 'echo file_get_contents("URL") ?: exit(1);'`,
  'Ruby net/http': `ruby -rnet/http -e 'puts Net::HTTP.get(URI("URL"))'`,
}
const RUST_CLIENTS = {
  'Rust reqwest with native-tls': 'rust-clients native-tls URL',
  'Rust reqwest with rustls-native-certs': 'rust-clients rustls-native URL',
}
const PINNED = 'rust-clients rustls-webpki https://echo.example.com/pinned'
