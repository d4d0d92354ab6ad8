/** curl in each of its ways to speak HTTP, and 100 MB both ways against nginx. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { auditLines, clrkRun, makeWorkspace, startWorker } from '../world/clrk.ts'
import { gateway, l4Route } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'
import { portOf } from './tools.ts'
import { startWebServer } from './web-server.ts'

test('curl: versions of HTTP, uploads with Expect, 100 MB both ways', async t => {
  const world = await createWorld(t)
  const files = join(world.directory, 'files')
  mkdirSync(files)
  await world.host(['sh', '-c', 'head -c 100000000 /dev/urandom >down'], { cwd: files })
  await startWebServer(world, portOf('files.example.com'), files)
  const ports = [{ port: 80 }, { port: 443 }]
  const manifests = [gateway(), l4Route([{ destinationHostnames: ['files.example.com', 'echo.example.com'], ports }])]
  const workspace = makeWorkspace(world)
  await startWorker(world, [])
  const inside = (argv: readonly string[]) => clrkRun(world, argv, { manifests, workspace, cwd: workspace })
  const written = ['-sS', '-w', '%{http_version} %{http_code}\\n', '-o', '/dev/null']

  for (const [option, version] of [
    ['--http1.0', /^1\.[01] 200$/], // the origin's version is passed on
    ['--http1.1', /^1\.1 200$/],
    ['--http2', /^1\.1 200$/], // both were offered, and HTTP/1.1 costs half
    ['--no-alpn', /^1\.1 200$/],
    ['--http2-prior-knowledge', /^(2|1\.1) 200$/], // over TLS: older ones offer both all the same
  ] as const) {
    await t.test(`${option} is answered`, async () => {
      const { stdout, stderr } = await inside(['curl', ...written, option, 'https://echo.example.com/'])
      assert.match(stdout.trim(), version, stderr)
    })
  }

  await t.test('--http2 without TLS asks for an upgrade: refused, with the reason', async () => {
    const { stdout, stderr } = await inside(['curl', '-sS', '--http2', 'http://echo.example.com/'])
    assert.match(stdout, /"code": "CLRK_UPGRADE_NOT_ALLOWED"/, stderr)
  })

  await t.test('--http2-prior-knowledge without TLS: refused, and the audit log says why', async () => {
    const { code } = await inside(['curl', ...written, '--http2-prior-knowledge', 'http://echo.example.com/'])
    assert.ok([16, 55, 56].includes(code ?? 0), `exit code ${code}`) // it may learn of the reset by sending
    assert.ok(auditLines(world).some(({ fault }) => fault.code === 'CLRK_PROTOCOL_NOT_ALLOWED'))
  })

  await t.test('100 MB down and up, the upload with Expect', async () => {
    const script = `curl -sS https://files.example.com/down >down && sha256sum <down
      curl -sSv --http1.1 -H 'Expect: 100-continue' -T down https://files.example.com/up 2>log
      grep '^[<>] \\(Expect\\|HTTP/\\)' log`
    const { code, stdout, stderr } = await inside(['bash', '-ec', script])
    assert.equal(code, 0, stderr)
    const sum = await sha256(join(files, 'down'))
    assert.equal(await sha256(join(files, 'up')), sum)
    assert.deepEqual(stdout.trim().split(/\r?\n/), [
      `${sum}  -`,
      ...['> Expect: 100-continue', '< HTTP/1.1 100 Continue', '< HTTP/1.1 201 Created'],
    ])
  })

  await t.test('Expect to a host that is not allowed: the refusal comes before the body', async () => {
    const { stdout } = await inside([
      ...['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code} %{size_upload}', '-H', 'Expect: 100-continue'],
      ...['-T', '/usr/bin/curl', 'https://other.example.com/up'],
    ])
    assert.equal(stdout, '403 0')
  })
  assert.deepEqual(await world.arrivals(), [])
})

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}
