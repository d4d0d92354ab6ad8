/**
 * The origin on the far side of a world, under a CA of its own (out: one JSON line with its PEM). `/down?N` gives N
 * bytes, everything else takes what comes and says so. argv: port and name.
 */
import { once } from 'node:events'
import { createServer } from 'node:https'
import { createPublicAuthority } from '../world/certificates.ts'

const BLOCK = Buffer.alloc(65_536, 'soak')
const [, , port = '0', name = ''] = process.argv
const authority = createPublicAuthority()

const server = createServer(authority.leaf(name), async (request, response) => {
  request.on('error', () => {})
  response.on('error', () => {})
  for await (const _chunk of request);
  const [, bytes] = request.url?.split('?') ?? []
  if (bytes === undefined) return response.end('ok')
  response.setHeader('content-length', bytes)
  for (let left = Number(bytes); left > 0 && !response.destroyed; left -= BLOCK.length) {
    const block = left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left)
    if (!response.write(block)) await Promise.race([once(response, 'drain'), once(response, 'close')])
  }
  return response.end()
})
server.keepAliveTimeout = 600_000
server.listen(Number(port), '::')
await once(server, 'listening')
process.stdout.write(`${JSON.stringify({ authority: authority.certificate })}\n`)
