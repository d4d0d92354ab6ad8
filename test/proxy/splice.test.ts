import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { splice } from '../../src/proxy/splice.ts'

async function pair(): Promise<[near: Socket, far: Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const far = connect({ host: '127.0.0.1', port: address.port, allowHalfOpen: true })
  const [near] = (await once(server, 'connection')) as [Socket]
  server.close()
  return [near, far]
}

async function spliced(first: Buffer | null) {
  const [nearAgent, agent] = await pair()
  const [nearUpstream, upstream] = await pair()
  const ended = new Promise<[number, number]>(resolve => {
    splice(nearAgent, nearUpstream, first, (up, down) => resolve([up, down]))
  })
  return { agent, upstream, ended }
}

async function read(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  await once(socket, 'end')
  return Buffer.concat(chunks)
}

test('half-close passes in both directions and the answer after it arrives', async () => {
  const { agent, upstream, ended } = await spliced(Buffer.from('first '))
  agent.end('question')
  assert.equal((await read(upstream)).toString(), 'first question')
  upstream.end('answer')
  assert.equal((await read(agent)).toString(), 'answer')
  assert.deepEqual(await ended, [14, 6])
})

test('20 MB pass both ways at once, byte for byte', async () => {
  const { agent, upstream, ended } = await spliced(null)
  const bytes = randomBytes(20_000_000)
  const digest = (buffer: Buffer) => createHash('sha256').update(buffer).digest('hex')
  agent.end(bytes)
  upstream.end(bytes)
  const [up, down] = await Promise.all([read(upstream), read(agent)])
  assert.equal(digest(up), digest(bytes))
  assert.equal(digest(down), digest(bytes))
  assert.deepEqual(await ended, [bytes.length, bytes.length])
})

test('a side that fails takes the other along', async () => {
  const { agent, upstream, ended } = await spliced(null)
  const failed = once(upstream, 'error')
  upstream.resume()
  agent.resetAndDestroy()
  await failed // a reset, not an end that would pass for a complete stream
  await ended
})
