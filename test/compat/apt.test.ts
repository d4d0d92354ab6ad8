/** apt-get against a mirror made by Debian's own tools, over plain HTTP (its default) and TLS. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace } from '../world/clrk.ts'
import { gateway, l4Route } from '../world/manifests.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment, portOf } from './tools.ts'
import { startWebServer } from './web-server.ts'

test('apt-get update, download and install --download-only', async t => {
  const world = await createWorld(t)
  const mirror = join(world.directory, 'mirror')
  mkdirSync(join(mirror, 'debian/pool'), { recursive: true })
  const made = await world.host(['sh', '-ec', MAKE_MIRROR], { cwd: join(mirror, 'debian') })
  assert.equal(made.code, 0, made.stderr)
  await startWebServer(world, portOf('deb.debian.org'), mirror)

  const hosts = [{ destinationHostnames: ['deb.debian.org'], ports: [{ port: 80 }, { port: 443 }] }]
  const manifests = [gateway(), l4Route(hosts)]
  for (const scheme of ['http', 'https']) {
    await t.test(scheme, async () => {
      const workspace = makeWorkspace(world, scheme)
      const options = { manifests, workspace, cwd: workspace, env: callerEnvironment(world) }
      const { code, stdout, stderr } = await clrkRun(world, ['sh', '-ec', APT, 'apt', scheme], options)
      assert.equal(code, 0, `${stdout}\n${stderr}`)
      assert.match(stdout, new RegExp(`^Get:\\d+ ${scheme}://deb\\.debian\\.org/debian stable/main \\S+ Packages`, 'm'))
      assert.match(stdout, /^acme-base_1\.0_all\.deb\nacme-base_1\.0_all\.deb\nacme-top_1\.0_all\.deb\n$/m)
    })
  }
  assert.deepEqual(await world.arrivals(), [])
})

const MAKE_MIRROR = `
  for name in acme-base acme-top; do
    mkdir -p build/$name/DEBIAN build/$name/usr/share/$name
    head -c 1000000 /dev/urandom >build/$name/usr/share/$name/data
    printf 'Package: %s\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: a <a@example.com>\\nDescription: a test\\n' $name >build/$name/DEBIAN/control
    [ $name = acme-base ] || echo 'Depends: acme-base' >>build/$name/DEBIAN/control
    dpkg-deb --root-owner-group -b build/$name pool/\${name}_1.0_all.deb
  done
  rm -r build
  packages=dists/stable/main/binary-$(dpkg --print-architecture)
  mkdir -p $packages
  dpkg-scanpackages -m pool >$packages/Packages
  gzip -k $packages/Packages
  apt-ftparchive -o APT::FTPArchive::Release::Suite=stable release dists/stable >Release
  mv Release dists/stable/Release`

/** Its own state below the workspace: the host's is read-only inside. $1: http or https. */
const APT = `
  mkdir -p state/lists/partial cache/archives/partial config downloaded
  : >state/status
  echo "deb [trusted=yes] $1://deb.debian.org/debian stable main" >config/sources.list
  apt_get() {
    apt-get -o APT::Sandbox::User=root -o Dir::State="$PWD/../state" -o Dir::State::status="$PWD/../state/status" \\
      -o Dir::Cache="$PWD/../cache" -o Dir::Etc="$PWD/../config" "$@"
  }
  cd downloaded
  apt_get update
  apt_get download acme-base
  apt_get install --yes --download-only acme-top
  ls
  cd ../cache/archives
  ls *.deb`
