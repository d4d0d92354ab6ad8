import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { loadExample, loadFiles } from '../../src/cli/load-files.ts'

function tree(t: TestContext, ...paths: string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'clrk-files-'))
  t.after(() => rmSync(root, { recursive: true }))
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), path)
  }
  return root
}

test('a directory gives its manifests, also deep ones, in name order; a file gives itself', t => {
  const root = tree(t, 'b.yml', 'a.yaml', 'c/d.json', 'c/e.txt', 'node_modules/x.json', '.git/y.yaml')
  const names = (paths: string[]) => loadFiles(paths.map(path => join(root, path))).map(({ text }) => text)
  assert.deepEqual(names(['.']), ['a.yaml', 'b.yml', 'c/d.json'])
  assert.deepEqual(names(['c/e.txt', 'a.yaml']), ['c/e.txt', 'a.yaml'])
})

test('what is not there is an error that names it', t => {
  const root = tree(t, 'empty/readme.txt')
  assert.throws(() => loadFiles([join(root, 'gone')]), /-f .*gone: there is no such file/)
  assert.throws(() => loadFiles([join(root, 'empty')]), /-f .*empty: no \.yaml/)
  assert.throws(() => loadExample(join(root, 'gone')), /there is no such directory/)
  assert.throws(() => loadExample(join(root, 'empty')), /no manifests\/ and no \.yaml/)
})

test('what would never end is no manifest of a directory', t => {
  const root = tree(t, 'fifo/a.yaml', 'device/a.yaml', 'gone/a.yaml')
  execFileSync('mkfifo', [join(root, 'fifo/b.yaml')])
  symlinkSync('/dev/zero', join(root, 'device/b.yaml'))
  symlinkSync('nothing', join(root, 'gone/b.yaml'))
  for (const name of ['fifo', 'device', 'gone']) {
    for (const load of [() => loadFiles([join(root, name)]), () => loadExample(join(root, name))]) {
      assert.throws(load, /b\.yaml: it is no regular file/)
    }
  }
})

test('an example has its manifests in manifests/ or beside its program, whose JSON is not one', t => {
  const root = tree(t, 'one/manifests/a.yaml', 'one/other.yaml', 'two/a.yaml', 'two/package.json')
  assert.deepEqual(
    loadExample(join(root, 'one')).map(({ text }) => text),
    ['one/manifests/a.yaml'],
  )
  assert.deepEqual(
    loadExample(join(root, 'two')).map(({ text }) => text),
    ['two/a.yaml'],
  )
})
