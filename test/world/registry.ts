/**
 * A container registry that holds one image and gives it to one user (OCI Distribution Specification 1.1; plain HTTP,
 * which engines take from loopback).
 *
 *   node registry.ts PORT USER:PASSWORD     says `ready`, then a line for each request: its status and its path
 *
 * The image is REPOSITORY:1, a busybox whose `sh` is its command.
 */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { busybox, imageArchive } from './engine.ts'

export const REPOSITORY = 'team/agent'

if (import.meta.main) {
  const [port = '', user = ''] = process.argv.slice(2)
  const layer = await buffer(imageArchive(busybox()))
  const zipped = gzipSync(layer)
  const config = json({
    ...{ architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux' },
    config: { Cmd: ['sh'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [digest(layer)] },
  })
  const type = (what: string) => `application/vnd.docker.${what}`
  const entry = (what: string, bytes: Buffer) => ({ mediaType: type(what), size: bytes.length, digest: digest(bytes) })
  const manifest = json({
    ...{ schemaVersion: 2, mediaType: type('distribution.manifest.v2+json') },
    config: entry('container.image.v1+json', config),
    layers: [entry('image.rootfs.diff.tar.gzip', zipped)],
  })
  const blobs = new Map([config, zipped].map(bytes => [`/v2/${REPOSITORY}/blobs/${digest(bytes)}`, bytes]))
  const manifests = ['1', digest(manifest)].map(name => `/v2/${REPOSITORY}/manifests/${name}`)
  const authorization = `Basic ${Buffer.from(user).toString('base64')}`

  createServer(({ method, url = '', headers }, response) => {
    const isManifest = manifests.includes(url)
    const bytes = isManifest ? manifest : url === '/v2/' ? Buffer.from('{}') : blobs.get(url)
    const status = headers.authorization !== authorization ? 401 : bytes === undefined ? 404 : 200
    console.log(status, url)
    if (status === 401) response.setHeader('www-authenticate', 'Basic realm="registry"')
    if (status !== 200 || bytes === undefined) return void response.writeHead(status).end()
    response.setHeader('content-type', isManifest ? type('distribution.manifest.v2+json') : 'application/octet-stream')
    response.setHeader('docker-content-digest', digest(bytes)).setHeader('content-length', bytes.length)
    response.end(method === 'HEAD' ? undefined : bytes)
  }).listen(Number(port), '127.0.0.1', () => console.log('ready'))
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function digest(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
