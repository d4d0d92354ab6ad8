import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'

const LAUNCHER = new URL('../../src/clrk', import.meta.url).pathname
const PROGRAM = `console.log(JSON.stringify({ main: process.argv[1], argv: process.argv.slice(2), pid: process.pid,
  node: process.execPath, options: process.env.NODE_OPTIONS, roots: process.env.NODE_EXTRA_CA_CERTS }))`
const NODE_PACKAGE = `node-linux-${process.arch}/bin/node`

/** A directory with a space in its name, mode 0700, that holds the package as npm would install it. */
function install(t: TestContext, packageDirectory: string, main: string): string {
  const root = mkdtempSync(join(tmpdir(), 'clrk install '))
  t.after(() => rmSync(root, { recursive: true }))
  const files: Record<string, string> = { [main]: PROGRAM, 'package.json': '{"type":"module"}' }
  for (const [path, text] of Object.entries(files)) write(join(root, packageDirectory, path), text)
  mkdirSync(join(root, packageDirectory, 'src'), { recursive: true })
  copyFileSync(LAUNCHER, join(root, packageDirectory, 'src/clrk'))
  return root
}

function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, mode)
}

function addNode(modules: string): string {
  const node = join(modules, NODE_PACKAGE)
  mkdirSync(dirname(node), { recursive: true })
  symlinkSync(process.execPath, node)
  return node
}

function launch(command: string, argv: string[], environment: Record<string, string> = {}) {
  return spawnSync(command, argv, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', ...environment } })
}

test('installed, it runs the JavaScript on the hoisted Node through the link in .bin, whatever NODE_OPTIONS says', t => {
  const root = install(t, 'node_modules/clrk', 'dist/src/cli/main.js')
  addNode(join(root, 'node_modules'))
  const link = join(root, 'node_modules/.bin/clrk')
  mkdirSync(dirname(link))
  symlinkSync('../clrk/src/clrk', link)
  const child = launch(link, ['a b', '--', ''], {
    NODE_OPTIONS: '--no-such-option',
    NODE_EXTRA_CA_CERTS: '/nonexistent',
  })
  const said = JSON.parse(child.stdout)
  assert.equal(child.stderr, '')
  assert.equal(said.main, join(root, 'node_modules/clrk/dist/src/cli/main.js'))
  assert.deepEqual(said.argv, ['a b', '--', ''])
  assert.deepEqual([said.options, said.roots], [undefined, undefined])
  assert.equal(said.pid, child.pid) // exec all the way: the signal that is sent to it arrives
})

test('in a clone it runs the TypeScript on its own Node', t => {
  const root = install(t, 'clone', 'src/cli/main.ts')
  addNode(join(root, 'clone/node_modules'))
  assert.equal(
    JSON.parse(launch('sh', [join(root, 'clone/src/clrk')]).stdout).main,
    join(root, 'clone/src/cli/main.ts'),
  )
})

test('without the package it takes the Node on PATH if that is new enough', t => {
  const root = install(t, 'clone', 'src/cli/main.ts')
  symlinkSync(process.execPath, join(root, 'node'))
  const child = launch('sh', [join(root, 'clone/src/clrk')], { PATH: `${root}:/usr/bin:/bin` })
  assert.equal(JSON.parse(child.stdout).main, join(root, 'clone/src/cli/main.ts'))
})

test('with only an old Node it says in one line what brings a new one', t => {
  const root = install(t, 'clone', 'src/cli/main.ts')
  write(join(root, 'bin/node'), '#!/bin/sh\necho 20\n', 0o755)
  const child = launch('sh', [join(root, 'clone/src/clrk')], { PATH: `${root}/bin:/usr/bin:/bin` })
  assert.deepEqual([child.status, child.stdout], [1, ''])
  assert.equal(child.stderr, `clrk: Node 24 or newer is missing: npm install node-linux-${process.arch}@24\n`)
})

test('--node hands over to that Node', t => {
  const root = install(t, 'clone', 'src/cli/main.ts')
  addNode(join(root, 'clone/node_modules'))
  assert.equal(launch('sh', [join(root, 'clone/src/clrk'), '--node', '-p', '6*7']).stdout, '42\n')
})
