/** Unmodified clients over TLS, through the proxy, to a real node:http origin. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Agent, request } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import { promisify } from 'node:util'
import { listen, startRig } from './rig.ts'

const run = promisify(execFile)

test('curl: get, head, upload with and without Expect, chunked both ways, two on one connection', async t => {
  const { port, ca, directory, seen } = await world(t)
  const big = join(directory, 'big')
  const content = Buffer.alloc(3_000_000, 'x')
  writeFileSync(big, content)
  const url = `https://a.test:${port}`
  const curl = async (...args: string[]) => {
    const common = ['--silent', '--show-error', '--http1.1', '--cacert', ca, '--resolve', `a.test:${port}:127.0.0.1`]
    return (await run('curl', [...common, ...args], { maxBuffer: 1e8 })).stdout
  }

  assert.equal(await curl('-H', 'x-api-key: agent', `${url}/1`, `${url}/2`), 'GET 0 realGET 0 real')
  assert.match(await curl('-I', `${url}/head`), /^HTTP\/1\.1 200 OK\r\n.*content-length: 1000\r\n/is)
  assert.equal(await curl('-T', big, `${url}/put`), 'PUT 3000000 real')
  assert.equal(
    await curl('--expect100-timeout', '60', '-H', 'Expect: 100-continue', '-T', big, `${url}/put`),
    'PUT 3000000 real',
  )
  assert.equal(await curl('-H', 'Transfer-Encoding: chunked', '-d', `@${big}`, `${url}/post`), 'POST 3000000 real')
  assert.equal(await curl(`${url}/stream`), 'one two three')
  assert.equal((await curl(`${url}/large`)).length, 20_000_000)
  assert.deepEqual([...new Set(seen)].sort(), ['GET', 'HEAD', 'POST', 'PUT'])
})

test('node: many requests over kept connections, with trailers', async t => {
  const { port, ca } = await world(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 4, ca: readFileSync(ca) })
  t.after(() => agent.destroy())
  const one = async (index: number) => {
    const sent = request({
      agent,
      port,
      host: '127.0.0.1',
      servername: 'a.test',
      method: 'POST',
      path: `/${index}`,
      headers: { host: 'a.test' },
    })
    sent.end('x'.repeat(index))
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    let text = ''
    for await (const chunk of response) text += chunk
    return [text, response.trailers['x-sum']]
  }
  const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => one(index)))
  assert.deepEqual(
    answers,
    Array.from({ length: 100 }, (_, index) => [`POST ${index} real`, 'trailer']),
  )
})

async function world(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'clrk-http1-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const [key, ca] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const made = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=a.test',
    '-addext',
    'subjectAltName=DNS:a.test',
    '-keyout',
    key,
    '-out',
    ca,
  ]
  execFileSync('openssl', made, { stdio: 'ignore' })

  const seen: string[] = []
  const origin = createServer((request, response) => {
    seen.push(request.method ?? '')
    void respond(request, response)
  })
  const originPort = await listen(origin)
  t.after(() => origin.close())

  const rig = await startRig(t, {
    tls: { key: readFileSync(key, 'utf8'), cert: readFileSync(ca, 'utf8') },
    decide: forward => ({
      ...forward,
      set: [['x-api-key', 'real']],
      acquire: async () => {
        const socket = connect(originPort, '127.0.0.1')
        await once(socket, 'connect')
        return { socket, fresh: true, release: () => socket.destroy() }
      },
    }),
  })
  return { port: rig.port, ca, directory, seen }
}

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let length = 0
  for await (const chunk of request) length += chunk.length
  if (request.url === '/head') return void response.writeHead(200, { 'content-length': 1000 }).end()
  if (request.url === '/large') return void response.end(Buffer.alloc(20_000_000, 'y'))
  if (request.url === '/stream') {
    for (const word of ['one ', 'two ']) response.write(word)
    return void response.end('three')
  }
  response.setHeader('transfer-encoding', 'chunked')
  response.setHeader('trailer', 'x-sum')
  response.write(`${request.method} ${length} ${request.headers['x-api-key']}`)
  response.addTrailers({ 'x-sum': 'trailer' })
  response.end()
}
