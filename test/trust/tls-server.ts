/**
 * A TLS server on 127.0.0.1:443 of the network namespace that it runs in. Reads `{ key, certificate }` (PEM) from
 * standard input; writes `ready`. Appends the path of each request to the file that its argument names, before it answers.
 */
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'

const [, , log = ''] = process.argv
const { key, certificate } = JSON.parse(await text(process.stdin)) as { key: string; certificate: string }
const server = createServer({ key, cert: certificate }, (request, response) => {
  appendFileSync(log, `${request.url}\n`)
  if (request.url?.startsWith('/git/info/refs')) {
    // An empty repository (gitprotocol-http, smart).
    response.setHeader('content-type', 'application/x-git-upload-pack-advertisement')
    const refs = `${'0'.repeat(40)} capabilities^{}\0agent=test\n`
    response.end(`001e# service=git-upload-pack\n0000${(refs.length + 4).toString(16).padStart(4, '0')}${refs}0000`)
  } else {
    response.end('{}')
  }
})
server.listen(443, '127.0.0.1', () => process.stdout.write('ready\n'))
