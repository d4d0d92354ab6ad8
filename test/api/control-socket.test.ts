import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { connect } from '../../src/api/client.ts'
import { controlSocket, shortPath } from '../../src/api/socket-path.ts'
import { isClrkError } from '../../src/errors.ts'
import { runRequest, serveForTest } from './control.ts'

const never = new AbortController().signal
const hasCode = (code: string) => (error: unknown) => isClrkError(error) && error.fault.code === code

test('every call and its answer cross the socket unchanged', async t => {
  const { client, control } = await serveForTest(t)
  assert.deepEqual(await client.status(), control.status())
  const apply = { files: [{ path: 'a.yaml', text: 'x' }], secrets: [], programDirectory: '/x', mockProvider: null }
  assert.deepEqual((await client.apply(apply)).gateways, ['default/echo-bot'])
  const secret = { name: 'ns/keys', data: { 'api-key': 'caf\xc3\xa9' }, persist: true }
  assert.deepEqual(await client.setSecret(secret), { keys: ['api-key'] })
  assert.deepEqual(control.calls, [apply, secret])
})

test('an error of the worker comes back as it was thrown', async t => {
  const { client } = await serveForTest(t)
  await assert.rejects(client.setSecret({ name: 'broken', data: {}, persist: false }), {
    fault: { code: 'CLRK_SECRET_MISSING', details: { secret: 'broken', key: 'k' } },
  })
  await assert.rejects(client.run(runRequest(['refused']), never), hasCode('CLRK_SANDBOX_FAILED'))
})

test('a request with an unknown or a wrong member is refused without its values', async t => {
  const { client, control } = await serveForTest(t)
  const wrong = { name: 'a', data: { k: 7 }, persist: false, key: 'sk-value' }
  const error = await client.setSecret(wrong as never).then(
    () => assert.fail('accepted'),
    (thrown: Error) => thrown,
  )
  assert.match(error.message, /data\.k/)
  assert.doesNotMatch(error.message, /sk-value/)
  assert.equal(control.calls.length, 0)
})

test('a body that is not JSON is never quoted', async t => {
  const { state } = await serveForTest(t)
  const short = shortPath(controlSocket(state))
  const post = request({ socketPath: short.path, method: 'POST', path: '/v1/secret', agent: false })
  post.end('sk-ant-secret{')
  const [response] = await once(post, 'response')
  assert.doesNotMatch(await text(response), /sk-ant/)
  short.close()
})

test('the socket is for its owner alone, also below a path longer than an address holds', async t => {
  const outer = mkdtempSync(join(tmpdir(), 'clrk-api-'))
  t.after(() => rmSync(outer, { recursive: true }))
  const state = join(outer, 'd'.repeat(200))
  mkdirSync(state)
  const { client } = await serveForTest(t, state)
  assert.equal((await client.status()).pid, process.pid)
  assert.equal(statSync(controlSocket(state)).mode & 0o777, 0o600)
})

test('a state without a worker is a clear error', async () => {
  await assert.rejects(connect('/nonexistent/state'), hasCode('CLRK_WORKER_GONE'))
})

test('streams, exit code and record of a run come back', async t => {
  const { client } = await serveForTest(t)
  const run = await client.run(runRequest(['sh', '-c', 'cat; echo to-stderr >&2; exit 7']), never)
  run.sandbox.stdin.end('to-stdin')
  const [out, err] = await Promise.all([text(run.sandbox.stdout), text(run.sandbox.stderr as Readable)])
  assert.equal(out, 'to-stdin')
  assert.equal(err, 'to-stderr\n')
  assert.deepEqual(await run.sandbox.exited, { code: 7, signal: null })
  assert.deepEqual((await run.record).exit, { code: 7, signal: null })
})

test('ten megabytes go in and come out unchanged', async t => {
  const { client } = await serveForTest(t)
  const run = await client.run(runRequest(['cat']), never)
  const sent = Buffer.alloc(10_000_000, 'abcdefg')
  run.sandbox.stdin.end(sent)
  const chunks: Buffer[] = []
  for await (const chunk of run.sandbox.stdout) chunks.push(chunk)
  assert.ok(Buffer.concat(chunks).equals(sent))
})

test('a reader that does not read stops the writer, and signals still arrive', async t => {
  const { client, control } = await serveForTest(t)
  const run = await client.run(runRequest(['sh', '-c', 'trap "exit 9" TERM; yes & cat >/dev/null; wait']), never)
  await once(run.sandbox.stdout, 'readable')
  run.sandbox.stdin.write(Buffer.alloc(1_000_000))
  assert.equal(control.pids.length, 1)
  const held = run.sandbox.stdout.readableLength
  assert.ok(held <= 1_048_576, `${held} bytes were taken in`)
  run.sandbox.signal('SIGTERM')
  const exit = await run.sandbox.exited
  assert.ok(exit.code === 9 || exit.signal === 'SIGTERM')
  run.sandbox.stdout.destroy()
  run.sandbox.stderr?.destroy()
  await run.record
})

test('closing our end of stdout breaks the agent’s pipe', async t => {
  const { client } = await serveForTest(t)
  const run = await client.run(runRequest(['yes']), never)
  await once(run.sandbox.stdout, 'readable')
  run.sandbox.stdout.destroy()
  const exit = await run.sandbox.exited // by ECONNRESET where the pipe is a socket pair with bytes in it, as here
  assert.ok(exit.code === 1 || exit.signal === 'SIGPIPE', JSON.stringify(exit))
  await run.record
})

test('an agent that closes its stdin ends our writing', async t => {
  const { client } = await serveForTest(t)
  const run = await client.run(runRequest(['sh', '-c', 'exec 0<&-; sleep 60']), never)
  const closed = once(run.sandbox.stdin, 'close')
  const fill = () => run.sandbox.stdin.writable && run.sandbox.stdin.write(Buffer.alloc(65_536), fill)
  fill()
  await closed
  await run.sandbox.stop()
  assert.deepEqual(await run.sandbox.exited, { code: null, signal: 'SIGTERM' })
})

test('a client that goes ends its run', async t => {
  const { client, control } = await serveForTest(t)
  const abort = new AbortController()
  const run = await client.run(runRequest(['sleep', '60']), abort.signal)
  const pid = control.pids[0]
  assert.match(execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }), /sleep 60/)
  abort.abort()
  await assert.rejects(run.sandbox.exited, hasCode('CLRK_WORKER_GONE'))
  while (spawnSync('ps', ['-p', String(pid)]).status === 0) await new Promise(resolve => setTimeout(resolve, 10))
})

test('events reach who watches, in order, and stop with it', async t => {
  const { client, control } = await serveForTest(t)
  const seen: string[] = []
  const two = Promise.withResolvers<void>()
  const watch = await client.watch(event => {
    if (event.type === 'log') seen.push(event.message)
    if (seen.length === 2) two.resolve()
  })
  control.say({ type: 'log', level: 'info', message: 'a\nb' })
  control.say({ type: 'log', level: 'info', message: 'c' })
  await two.promise
  watch.stop()
  await watch.ended
  assert.deepEqual(seen, ['a\nb', 'c'])
})

test('clients are counted until they go, and hear that the worker went', async t => {
  const { client, server, state } = await serveForTest(t)
  const second = await connect(state)
  assert.ok(server.clients() >= 2)
  second.close()
  while (server.clients() > 1) await new Promise(resolve => setTimeout(resolve, 5))
  await server.close()
  await client.gone
})

test('once it has stopped listening nobody joins, and runs go on', async t => {
  const { client, server, state } = await serveForTest(t)
  const run = await client.run(runRequest(['cat']), never)
  server.stopListening()
  await assert.rejects(connect(state), hasCode('CLRK_WORKER_GONE'))
  run.sandbox.stdin.end('still here')
  assert.equal(await text(run.sandbox.stdout), 'still here')
  assert.deepEqual((await run.record).exit, { code: 0, signal: null })
})
