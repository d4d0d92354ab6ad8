/**
 * Roots where distributions keep them, with their links, in images that hold nothing else but a static program: it
 * trusts what it finds by itself, with no variable to help, and then each path of a bundle alone. And an image without
 * any roots, where only the variable can tell. As root and as a user that the image knows nothing of.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { clrkRun, startWorker } from '../world/clrk.ts'
import { type ImageFile, importImage, startEngine } from '../world/engine.ts'
import { createWorld } from '../world/world.ts'
import { HOST } from './clients.ts'
import { callerEnvironment, GO_CLIENT } from './tools.ts'

const BUNDLE = readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8')

/** Parents are made on the way. */
const LAYOUTS: Readonly<Record<string, Readonly<Record<string, ImageFile>>>> = {
  debian: { 'etc/ssl/certs/ca-certificates.crt': BUNDLE },
  alpine: {
    'etc/ssl/certs/ca-certificates.crt': BUNDLE,
    'etc/ssl/cert.pem': { link: 'certs/ca-certificates.crt' },
    'etc/ssl1.1/cert.pem': { link: '/etc/ssl/cert.pem' },
  },
  rhel: {
    'etc/ssl/certs': { link: '/etc/pki/tls/certs' },
    'etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem': BUNDLE,
    'etc/pki/tls/certs/ca-bundle.crt': { link: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem' },
    'etc/pki/tls/cert.pem': { link: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem' },
  },
  suse: {
    'etc/ssl/certs': { link: '../../var/lib/ca-certificates/pem' },
    'etc/ssl/ca-bundle.pem': { link: '../../var/lib/ca-certificates/ca-bundle.pem' },
    'var/lib/ca-certificates/ca-bundle.pem': BUNDLE,
    'var/lib/ca-certificates/pem/': 'directory',
  },
}

test('a static client in images laid out as distributions do, and in one without any roots', async t => {
  const world = await createWorld(t)
  const engine = await startEngine(argv => {
    const running = world.spawnHost(argv)
    return { kill: signal => running.kill(signal), exited: running.exited }
  })
  try {
    const env = { ...callerEnvironment(world), DOCKER_HOST: `unix://${engine.socket}` }
    await startWorker(world, [], { env })
    const client = { bytes: readFileSync(GO_CLIENT), mode: 0o755 }
    for (const [name, files] of Object.entries({ ...LAYOUTS, scratch: {} })) {
      await importImage(engine, `${name}:1`, { client, ...files }, ['USER 65532', 'ENTRYPOINT ["/client"]'])
      const bundles = Object.keys(files).filter(path => /\.(crt|pem)$/.test(path))
      const roots = name === 'scratch' ? ['default'] : ['system', ...bundles.map(path => `/${path}`)]
      for (const user of [undefined, '0'] as const) {
        await t.test(`${name}, ${user === undefined ? 'USER of the image' : `user ${user}`}`, async () => {
          const target = `/${name}/${user}`
          const options = { allow: [HOST], env, arguments: ['--image', `${name}:1`], ...(user && { user }) }
          const argv = ['/client', ...roots, `https://${HOST}${target}`]
          const { code, stdout, stderr } = await clrkRun(world, argv, options)
          assert.equal(code, 0, stderr)
          assert.equal(stdout.split(`"target":"${target}"`).length - 1, roots.length)
          assert.equal((await world.requests()).at(-1)?.target, target)
        })
      }
    }
    await t.test('without the variable, a client in an image without roots refuses: it was the variable', async () => {
      const options = { allow: [HOST], env, arguments: ['--image', 'scratch:1'] }
      const { code, stderr } = await clrkRun(world, ['/client', 'system', `https://${HOST}/`], options)
      assert.equal(code, 1)
      assert.match(stderr, /certificate signed by unknown authority/)
    })
  } finally {
    await engine.stop() // before its world ends, which takes it along
  }
})
