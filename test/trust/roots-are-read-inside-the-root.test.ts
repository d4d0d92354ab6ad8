/** Distributions' layouts, built as directories; and what a hostile tree can try (T118). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LIMITS } from '../../src/limits.ts'
import { readHostRoots, resolveInside } from '../../src/trust/image-roots.ts'

/** Path → content, or `-> target` for a link. */
type Tree = Readonly<Record<string, string>>

const LAYOUTS: readonly (readonly [
  string,
  Tree,
  { bundles: unknown; certs: string | null; keystores: readonly string[] },
])[] = [
  [
    'Debian',
    {
      '/etc/ssl/certs/ca-certificates.crt': 'PEM',
      '/usr/lib/ssl/cert.pem': '-> /etc/ssl/certs/ca-certificates.crt',
      '/etc/ssl/certs/java/cacerts': 'JKS',
      '/usr/lib/jvm/java-17/lib/security/cacerts': '-> /etc/ssl/certs/java/cacerts',
      '/usr/lib/jvm/default-java': '-> java-17',
      '/usr/lib/jvm/java-8/jre/lib/security/cacerts': 'JKS8',
      '/opt/jdk/lib/security/cacerts': 'P12',
      '/opt/tool': 'a file, not a directory',
    },
    {
      bundles: [
        [['/etc/ssl/certs/ca-certificates.crt', '/usr/lib/ssl/cert.pem'], '/etc/ssl/certs/ca-certificates.crt', 'PEM'],
      ],
      certs: '/etc/ssl/certs',
      keystores: [
        '/etc/ssl/certs/java/cacerts',
        '/usr/lib/jvm/java-8/jre/lib/security/cacerts',
        '/opt/jdk/lib/security/cacerts',
      ],
    },
  ],
  [
    'Alpine',
    {
      '/etc/ssl/certs/ca-certificates.crt': 'PEM',
      '/etc/ssl/cert.pem': '-> certs/ca-certificates.crt',
    },
    {
      bundles: [
        [['/etc/ssl/certs/ca-certificates.crt', '/etc/ssl/cert.pem'], '/etc/ssl/certs/ca-certificates.crt', 'PEM'],
      ],
      certs: '/etc/ssl/certs',
      keystores: [],
    },
  ],
  [
    'RHEL',
    {
      '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem': 'PEM',
      '/etc/pki/tls/certs/ca-bundle.crt': '-> /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
      '/etc/pki/tls/cert.pem': '-> /etc/pki/tls/certs/ca-bundle.crt',
      '/etc/ssl/certs': '-> ../pki/tls/certs',
      '/etc/pki/ca-trust/extracted/java/cacerts': 'JKS',
      '/usr/lib/jvm/jre-17/lib/security/cacerts': '-> /etc/pki/ca-trust/extracted/java/cacerts',
    },
    {
      bundles: [
        [
          [
            '/etc/pki/tls/certs/ca-bundle.crt',
            '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
            '/etc/ssl/certs/ca-bundle.crt',
            '/etc/pki/tls/cert.pem',
          ],
          '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
          'PEM',
        ],
      ],
      certs: '/etc/pki/tls/certs',
      keystores: ['/etc/pki/ca-trust/extracted/java/cacerts'],
    },
  ],
  [
    'SUSE',
    {
      '/var/lib/ca-certificates/ca-bundle.pem': 'PEM',
      '/etc/ssl/ca-bundle.pem': '-> /var/lib/ca-certificates/ca-bundle.pem',
      '/var/lib/ca-certificates/pem/002c0b4f.0': 'ONE',
      '/etc/ssl/certs': '-> /var/lib/ca-certificates/pem',
      '/var/lib/ca-certificates/java-cacerts': 'JKS',
    },
    {
      bundles: [
        [
          ['/etc/ssl/ca-bundle.pem', '/var/lib/ca-certificates/ca-bundle.pem'],
          '/var/lib/ca-certificates/ca-bundle.pem',
          'PEM',
        ],
      ],
      certs: '/var/lib/ca-certificates/pem',
      keystores: ['/var/lib/ca-certificates/java-cacerts'],
    },
  ],
  ['nothing at all', {}, { bundles: [], certs: null, keystores: [] }],
]
for (const [name, tree, expected] of LAYOUTS) {
  test(`the roots of ${name} are found, each file once`, t => {
    const roots = readHostRoots(build(t, tree))
    assert.deepEqual(
      roots.bundles.map(({ paths, realPath, pem }) => [paths, realPath, pem]),
      expected.bundles,
    )
    assert.equal(roots.certs?.realPath ?? null, expected.certs)
    assert.deepEqual(
      roots.keystores.map(({ realPath }) => realPath),
      expected.keystores,
    )
  })
}

test('the certs directory is listed as it is: links as links, files with their bytes, parents first', t => {
  const root = build(t, {
    '/etc/ssl/certs/ca-certificates.crt': 'PEM',
    '/etc/ssl/certs/002c0b4f.0': '-> Root_R46.pem',
    '/etc/ssl/certs/Root_R46.pem': '-> /usr/share/ca-certificates/Root_R46.crt',
    '/etc/ssl/certs/dangling.pem': '-> /nowhere',
    '/etc/ssl/certs/java/cacerts': 'JKS',
  })
  assert.deepEqual(readHostRoots(root).certs?.entries, [
    { path: '002c0b4f.0', kind: 'link', target: 'Root_R46.pem' },
    { path: 'Root_R46.pem', kind: 'link', target: '/usr/share/ca-certificates/Root_R46.crt' },
    { path: 'ca-certificates.crt', kind: 'file', bytes: Buffer.from('PEM') },
    { path: 'dangling.pem', kind: 'link', target: '/nowhere' },
    { path: 'java', kind: 'directory' },
    { path: 'java/cacerts', kind: 'file', bytes: Buffer.from('JKS') },
  ])
})

test('no link leads out of the root', t => {
  const outside = fs.mkdtempSync(join(tmpdir(), 'clrk-outside-'))
  t.after(() => fs.rmSync(outside, { recursive: true, force: true }))
  fs.mkdirSync(join(outside, 'certs'))
  fs.writeFileSync(join(outside, 'secret'), 'HOST SECRET')
  fs.writeFileSync(join(outside, 'certs/secret'), 'HOST SECRET')
  const up = '../'.repeat(20)
  const root = build(t, {
    '/etc/ssl/certs': `-> ${outside}/certs`,
    '/etc/ssl/cert.pem': `-> ${outside}/secret`,
    '/etc/ssl/ca-bundle.pem': `-> ${up}${outside}/secret`,
    '/etc/pki': `-> ${up}${outside}`,
    '/usr/lib/jvm': `-> ${outside}`,
    '/opt/x/lib': `-> ${outside}`,
  })
  assert.deepEqual(readHostRoots(root), { bundles: [], certs: null, keystores: [] })
})

test('absolute links and .. are read as inside the root', t => {
  const root = build(t, { '/a/b/file': 'x', '/up': '-> ../../../a/./b/', '/abs': '-> /up/file', '/loop': '-> /loop' })
  assert.equal(resolveInside(root, '/abs'), '/a/b/file')
  assert.equal(resolveInside(root, '/up/../../..'), '/')
  assert.equal(resolveInside(root, '/loop'), null)
  assert.equal(resolveInside(root, '/abs/'), '/a/b/file')
  assert.equal(resolveInside(root, '/abs/further'), null)
  assert.equal(resolveInside(root, '/a/none'), null)
})

test('what is not a regular, public file of sane size is left out, and never opened', async t => {
  const root = build(t, {
    '/etc/ssl/certs/good.pem': 'PEM',
    '/etc/ssl/certs/private.key': 'KEY',
    '/etc/ssl/certs/huge.pem': '',
  })
  const certs = join(root, 'etc/ssl/certs')
  fs.chmodSync(join(certs, 'private.key'), 0o640)
  fs.truncateSync(join(certs, 'huge.pem'), LIMITS.trustFileBytes + 1)
  execFileSync('mkfifo', [join(certs, 'ca-certificates.crt')])
  execFileSync('mknod', [join(certs, 'device'), 'c', '1', '5']) // reading /dev/zero would never end
  const socket = createServer().listen(join(certs, 'socket')) // open() of one is an error
  await once(socket, 'listening')
  t.after(() => socket.close())
  const roots = readHostRoots(root)
  assert.deepEqual(roots.bundles, [])
  assert.deepEqual(
    roots.certs?.entries.map(({ path }) => path),
    ['good.pem'],
  )
})

test('a directory without end is refused', t => {
  const root = build(t, { '/etc/ssl/certs/a': '' })
  for (let index = 0; index < LIMITS.trustEntries; index += 1) fs.symlinkSync('a', join(root, `etc/ssl/certs/${index}`))
  assert.throws(() => readHostRoots(root), /\/etc\/ssl\/certs: it holds more than 4096 entries/)
})

function build(t: TestContext, tree: Tree): string {
  const root = fs.mkdtempSync(join(tmpdir(), 'clrk-root-'))
  t.after(() => fs.rmSync(root, { recursive: true, force: true }))
  for (const [path, content] of Object.entries(tree)) {
    fs.mkdirSync(join(root, dirname(path)), { recursive: true })
    if (content.startsWith('-> ')) fs.symlinkSync(content.slice(3), join(root, path))
    else fs.writeFileSync(join(root, path), content)
  }
  return root
}
