/** The streams of an attached container, cut at every byte. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import test from 'node:test'
import { attachedStreams } from '../../src/runtimes/docker-streams.ts'

function frame(stream: number, text: string): Buffer {
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(text.length, 4)
  return Buffer.concat([header, Buffer.from(text)])
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += chunk
  return text
}

/** A connection that gives these chunks and keeps what it is given. */
function connection(chunks: readonly Buffer[]) {
  const written: string[] = []
  const rest = [...chunks]
  const stream = new Duplex({
    read() {
      this.push(rest.shift() ?? null)
    },
    write(chunk, _encoding, done) {
      written.push(String(chunk))
      done()
    },
  })
  return { stream, written }
}

test('frames come apart wherever they are cut', async () => {
  const bytes = Buffer.concat([frame(1, 'out'), frame(2, 'error'), frame(1, ''), frame(0, 'x'), frame(1, '!')])
  for (let cut = 0; cut <= bytes.length; cut++) {
    const { stream } = connection([bytes.subarray(0, cut), bytes.subarray(cut)].filter(({ length }) => length > 0))
    const { stdout, stderr, ended } = attachedStreams(stream, 'pipes')
    assert.ok(stderr)
    assert.deepEqual(await Promise.all([readAll(stdout), readAll(stderr)]), ['out!', 'error'], `cut at ${cut}`)
    await ended
  }
})

test('a connection that breaks ends both streams with what has come', async () => {
  const { stream } = connection([frame(1, 'first'), frame(1, 'cut off').subarray(0, 10)])
  const { stdout, stderr } = attachedStreams(stream, 'pipes')
  assert.ok(stderr)
  assert.equal(await readAll(stdout), 'firstcu')
  assert.equal(await readAll(stderr), '')
})

test('a reader that turns away does not hold up the other', async () => {
  const { stream } = connection([frame(2, 'x'.repeat(100_000)), frame(2, 'x'.repeat(100_000)), frame(1, 'out')])
  const { stdout, stderr } = attachedStreams(stream, 'pipes')
  stderr?.destroy()
  assert.equal(await readAll(stdout), 'out')
})

test('writing to an agent that has ended is no failure', async () => {
  const { stream } = connection([])
  const { stdin, ended } = attachedStreams(stream, 'pipes')
  stream.destroy()
  await ended
  stdin.write('late')
  stdin.end()
  await once(stdin, 'finish')
})

test('a terminal is one stream as it is, and its input ends with ^D', async () => {
  const { stream, written } = connection([frame(1, 'raw')])
  const { stdin, stdout, stderr } = attachedStreams(stream, 'terminal')
  stdin.end('typed')
  await once(stdin, 'finish')
  assert.equal(stderr, null)
  assert.deepEqual(written, ['typed', '\x04'])
  assert.equal(await readAll(stdout), frame(1, 'raw').toString())
})
