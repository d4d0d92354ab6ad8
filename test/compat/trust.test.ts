/** Clients find the gateway's CA where each of them looks, with no option or variable of ours in the command. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace, startWorker } from '../world/clrk.ts'
import { createWorld } from '../world/world.ts'

test('each client trusts the gateway, as root inside and as a user', async t => {
  const world = await createWorld(t)
  const workspace = makeWorkspace(world)
  writeFileSync(join(workspace, 'Get.java'), JAVA)
  await startWorker(world, [])
  for (const [client, script] of Object.entries(CLIENTS)) {
    for (const user of ['0', '1000'] as const) {
      await t.test(`${client}, user ${user}`, async () => {
        const target = `/${client}/${user}`.replaceAll(' ', '-')
        const command = script.replaceAll('URL', `https://echo.example.com${target}`).replaceAll('TARGET', target)
        const earlier = (await world.requests()).length
        const options = { allow: ['echo.example.com'], user, workspace, cwd: workspace }
        const { stdout, stderr, code } = await clrkRun(world, ['sh', '-ec', command], options)
        assert.equal(code, 0, stderr)
        assert.ok(stdout.includes(target), stdout)
        assert.deepEqual(
          (await world.requests()).slice(earlier).map(({ target }) => target),
          [target],
        )
      })
    }
  }
})

const CLIENTS = {
  curl: 'curl -sS URL',
  'wget with GnuTLS': 'wget -qO- URL',
  'Python urllib': `python3 -c 'import urllib.request; print(urllib.request.urlopen("URL").read().decode())'`,
  'openssl s_client': `printf 'GET TARGET HTTP/1.1\\r\\nHost: echo.example.com\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -connect echo.example.com:443`,
  Java: 'java -Duser.home="$HOME" Get.java URL',
  'Node with its own roots': `node -e 'fetch("URL").then(r => r.text()).then(console.log)'`,
}

const JAVA = `public class Get {
  public static void main(String[] a) throws Exception {
    System.out.println(new String(new java.net.URL(a[0]).openStream().readAllBytes()));
  }
}`
