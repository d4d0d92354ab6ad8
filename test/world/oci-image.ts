/** An image with all that a Dockerfile cannot say: an OCI image layout as a tar, for Podman's load. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { type Engine, type ImageFile, imageArchive } from './engine.ts'

/** Loads an image of those files. `annotations`: of its manifest (OCI image-spec, annotations.md). */
export async function loadOciImage(
  { docker }: Engine,
  name: string,
  files: Readonly<Record<string, ImageFile>>,
  annotations: Readonly<Record<string, string>>,
): Promise<void> {
  const archive = pack()
  const blob = (mediaType: string, bytes: Buffer) => {
    const digest = createHash('sha256').update(bytes).digest('hex')
    archive.entry({ name: `blobs/sha256/${digest}` }, bytes)
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest: `sha256:${digest}`, size: bytes.length }
  }
  const json = (value: object) => Buffer.from(JSON.stringify(value))
  const layer = blob('layer.v1.tar', await buffer(imageArchive(files)))
  const rootfs = { type: 'layers', diff_ids: [layer.digest] }
  const machine = { architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' }
  const config = blob('config.v1+json', json({ ...machine, config: { Env: ['PATH=/bin'] }, rootfs }))
  const manifest = blob('manifest.v1+json', json({ schemaVersion: 2, config, layers: [layer], annotations }))
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': name } }
  archive.entry({ name: 'index.json' }, json({ schemaVersion: 2, manifests: [named] }))
  archive.entry({ name: 'oci-layout' }, json({ imageLayoutVersion: '1.0.0' }))
  archive.finalize()
  const answer = await docker.loadImage(Readable.from(archive))
  for await (const _line of answer);
}
