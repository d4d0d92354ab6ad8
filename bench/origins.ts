/** The far side: nginx for small answers, origin.c for bodies, event streams and telemetry. Both count. */
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Certificates } from './certificates.ts'
import { ADDRESSES, LINKS } from './names.ts'
import { PROCESSORS, type Rig } from './rig.ts'
import { TOOLS } from './tools.ts'

export type Counts = {
  /** That reached an origin. */
  readonly requests: number
  /** Of these, with the right credential. */
  readonly authorized: number
  /** That were exported to the telemetry receiver. */
  readonly spans: number
}

type Parts = {
  readonly directory: string
  readonly certificates: Certificates
  readonly authorization: string
  readonly spawn: Rig['spawn']
}

export async function startOrigins({ directory, certificates, authorization, spawn }: Parts) {
  const home = join(directory, 'origin-nginx')
  mkdirSync(home)
  const status = join(home, 'status.sock')
  const refusals = join(home, 'refused.log')
  writeFileSync(join(home, 'nginx.conf'), nginxConfiguration({ home, status, refusals, certificates, authorization }))
  spawn('internet', PROCESSORS.load, [TOOLS.nginx, '-c', join(home, 'nginx.conf')])
  const { origin, originKey } = certificates
  const argv = [TOOLS.origin, ADDRESSES.bulk, LINKS.internet, origin, originKey, authorization]
  const ask = questions(spawn('internet', PROCESSORS.load, argv, { piped: true }))
  for (let waited = 0; !existsSync(status); waited += 20) {
    if (waited > 5_000) throw new Error('bench: the origin nginx did not start')
    await sleep(20)
  }

  let own = 0
  return {
    counts: async (): Promise<Counts> => {
      const [page, other] = await Promise.all([getUnix(status), ask()])
      // accepts, handled, requests: with those that asked for this page.
      const requests = Number(/^\s*\d+ \d+ (\d+)/m.exec(page)?.[1]) - ++own
      const refused = statSync(refusals).size / 2
      return {
        requests: requests + other.requests,
        authorized: requests - refused + other.authorized,
        spans: other.spans,
      }
    },
  }
}

function nginxConfiguration(parts: {
  home: string
  status: string
  refusals: string
  certificates: Certificates
  authorization: string
}): string {
  const { home, status, refusals, certificates, authorization } = parts
  const usage = '"usage":{"input_tokens":12,"output_tokens":34}'
  const body = `{"id":"msg_01","type":"message","role":"assistant","model":"bench",${usage}}`
  return `user root; daemon off; worker_processes 1; worker_rlimit_nofile 19000;
pid ${home}/pid; error_log ${home}/error.log warn;
events { worker_connections 9000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; ssl_session_cache shared:origin:10m;
  client_body_temp_path ${home}/t1; proxy_temp_path ${home}/t2; fastcgi_temp_path ${home}/t3;
  uwsgi_temp_path ${home}/t4; scgi_temp_path ${home}/t5;
  map $http_authorization $wrong { "${authorization}" 0; default 1; }
  log_format one "x"; # a byte and a newline for each request that is refused
  server {
    listen ${ADDRESSES.api}:443 ssl http2 backlog=4096;
    ssl_certificate ${certificates.origin}; ssl_certificate_key ${certificates.originKey};
    ssl_protocols TLSv1.2 TLSv1.3; default_type application/json; add_header x-request-id 0123456789abcdef;
    location / {
      access_log ${refusals} one if=$wrong;
      if ($wrong) { return 401 '{}'; }
      return 200 '${body}';
    }
  }
  server { listen unix:${status}; location / { stub_status; } }
}
`
}

/** One question at a time: a line in, a line of JSON out. */
function questions(child: ChildProcess): () => Promise<Counts> {
  const { stdin, stdout, stderr } = child
  if (stdin === null || stdout === null) throw new Error('bench: the origin has no pipes')
  const waiting: { resolve: (counts: Counts) => void; reject: (error: Error) => void }[] = []
  let complaint = ''
  stderr?.on('data', words => (complaint += words))
  createInterface({ input: stdout }).on('line', line => waiting.shift()?.resolve(JSON.parse(line)))
  child.once('exit', () => {
    for (const { reject } of waiting) reject(new Error(`bench: the origin ended: ${complaint}`))
  })
  return () =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject })
      stdin.write('\n')
    })
}

async function getUnix(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/', agent: false }, response => text(response).then(resolve, reject))
    asked.on('error', reject).end()
  })
}
