/** nginx in the internet of a world: plain files of a directory, read by GET and written by PUT. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { World } from '../world/world.ts'

/** Serves `directory` (which exists) on `port`. */
export async function startWebServer(world: World, port: number, directory: string): Promise<void> {
  const own = join(world.directory, `nginx-${port}`)
  mkdirSync(own)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${join(own, name)};`,
  )
  const file = join(own, 'nginx.conf')
  writeFileSync(
    file,
    `daemon off; master_process off; user root; pid ${join(own, 'pid')}; error_log stderr notice;
events {}
http {
  access_log off; client_max_body_size 0; default_type application/octet-stream; ${temporary.join(' ')}
  server { listen [::]:${port} ipv6only=off; root ${directory}; dav_methods PUT; }
}
`,
  )
  const server = world.spawnInternet(['nginx', '-e', 'stderr', '-c', file])
  await server.saw(/start worker|using the "epoll" event method/)
}
