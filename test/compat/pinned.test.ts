/** A client that trusts one authority only, whatever the system says: it refuses what is intercepted, and works untouched. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace, startWorker } from '../world/clrk.ts'
import { allowHosts, gateway } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'

test('pinned roots need a listener that passes TLS through', async t => {
  const world = await createWorld(t)
  const workspace = makeWorkspace(world)
  writeFileSync(join(workspace, 'pinned.pem'), world.authority)
  mkdirSync(join(workspace, 'none'))
  await startWorker(world, [])
  const get = (mode: 'Terminate' | 'Passthrough', name: string) => {
    const listeners = [{ name: 'tls', protocol: 'TLS', tls: { mode } }]
    const manifests = [gateway({ listeners }), allowHosts('echo.example.com')]
    const curl = ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', '--cacert', 'pinned.pem', '--capath', 'none']
    return clrkRun(world, [...curl, `https://${name}/`], { manifests, workspace, cwd: workspace })
  }

  const intercepted = await get('Terminate', 'echo.example.com')
  assert.equal(intercepted.code, 60, intercepted.stderr) // the peer's certificate cannot be authenticated
  assert.deepEqual(await world.requests(), [])

  const untouched = await get('Passthrough', 'echo.example.com')
  assert.equal(untouched.stdout, '200', untouched.stderr)
  assert.equal((await world.requests()).length, 1)

  const denied = await get('Passthrough', 'other.example.com')
  assert.notEqual(denied.code, 0)
  assert.equal((await world.requests()).length, 1)
  assert.deepEqual(await world.arrivals(), [])
})
