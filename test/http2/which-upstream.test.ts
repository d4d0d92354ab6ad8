/** What an origin is spoken to in, for agents with HTTP/2: HTTP/1.1 where both can and the exchange needs no more. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { get, startHttp2Origin, startRig } from './rig.ts'

const ASKED = [
  ['a request without a body', {}, undefined],
  ['a body of known length', { ':method': 'POST', 'content-length': '4' }, 'body'],
  ['a body that streams', { ':method': 'POST' }, 'body'],
  ['a gRPC call without a message', { ':method': 'POST', te: 'trailers' }, undefined],
  ['announced trailers', { ':method': 'POST', 'content-length': '4', trailer: 'x-sum' }, 'body'],
] as const

for (const [allowHTTP1, expected] of [
  [true, ['1.1', '1.1', '2.0', '2.0', '2.0']],
  [false, ['2.0', '2.0', '2.0', '2.0', '2.0']],
] as const) {
  test(`an origin that chooses h2 and ${allowHTTP1 ? 'HTTP/1.1' : 'nothing else'}`, async t => {
    const { address, server, sessions } = await startHttp2Origin(t, { allowHTTP1 })
    server.on('request', (request, response) => response.end(request.httpVersion))
    const agent = (await startRig(t, address)).agent()
    for (const [at, [what, headers, body]] of ASKED.entries())
      assert.equal((await get(agent, headers, body)).body.toString(), expected[at], what)
    assert.equal(sessions.length, allowHTTP1 ? 2 : 1)
  })
}

test('node:http2 is loaded for an origin that needs it, and for no agent', async () => {
  const loads = `
    await import('./src/proxy/requests-http2.ts')
    await import('./src/upstream/http2-pool.ts')
    if (process.moduleLoadList.includes('NativeModule internal/http2/core')) throw new Error('it is loaded')
    await import('node:http2')
    if (!process.moduleLoadList.includes('NativeModule internal/http2/core')) throw new Error('it has another name now')
  `
  const root = join(import.meta.dirname, '../..')
  execFileSync(process.execPath, ['--input-type=module', '-e', loads], { cwd: root })
})
