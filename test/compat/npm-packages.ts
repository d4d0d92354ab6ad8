/** Publishes the packages of npm.test.ts as `npm publish` does, at the registry whose URL is the only argument. */
import { createHash, randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'

export const SMALL = Array.from({ length: 40 }, (_, at) => `small-${at}`)
export const LARGE_BYTES = 20_000_000

if (import.meta.main) await publishAll(process.argv[2] ?? '')

async function publishAll(registry: string): Promise<void> {
  for (const name of SMALL) await publish(registry, name, {}, 1_000)
  await publish(registry, 'large', {}, LARGE_BYTES)
  const all = Object.fromEntries([...SMALL, 'large'].map(name => [name, '1.0.0']))
  await publish(registry, '@acme/everything', all, 10)
}

async function publish(
  registry: string,
  name: string,
  dependencies: Readonly<Record<string, string>>,
  bytes: number,
): Promise<void> {
  const manifest = { name, version: '1.0.0', dependencies }
  const archive = pack()
  archive.entry({ name: 'package/package.json' }, JSON.stringify(manifest))
  archive.entry({ name: 'package/data' }, randomBytes(bytes))
  archive.finalize()
  const tarball = gzipSync(await buffer(archive), { level: 1 })
  const file = `${name}-1.0.0.tgz`
  const dist = {
    shasum: createHash('sha1').update(tarball).digest('hex'),
    integrity: `sha512-${createHash('sha512').update(tarball).digest('base64')}`,
    tarball: `${registry}/${name}/-/${file}`,
  }
  const attachment = { content_type: 'application/octet-stream', data: tarball.toString('base64') }
  const answer = await fetch(`${registry}/${name.replace('/', '%2f')}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      _id: name,
      name,
      'dist-tags': { latest: '1.0.0' },
      versions: { '1.0.0': { ...manifest, _id: `${name}@1.0.0`, dist } },
      _attachments: { [file]: { ...attachment, length: tarball.length } },
    }),
  })
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`)
}
