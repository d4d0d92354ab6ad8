import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isClrkError } from '../../src/errors.ts'
import { LIMITS } from '../../src/limits.ts'
import { loadSecrets, saveSecret } from '../../src/store/secrets.ts'

const CANARY = 'sk-canary-5f1d'

test('what was saved is loaded, byte for byte, and keys merge', t => {
  const directory = join(scratch(t), 'secrets')
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1')
  assert.deepEqual(loadSecrets(directory), new Map())
  assert.deepEqual(saveSecret(directory, 'default/anthropic', { token: CANARY, binary: bytes }), ['binary', 'token'])
  assert.deepEqual(saveSecret(directory, 'default/anthropic', { token: 'rotated\n', ['__proto__']: 'x' }), [
    '__proto__',
    'binary',
    'token',
  ])
  saveSecret(directory, 'team-a/empty.example', {})
  assert.deepEqual(
    loadSecrets(directory),
    new Map([
      [
        'default/anthropic',
        new Map([
          ['__proto__', 'x'],
          ['binary', bytes],
          ['token', 'rotated\n'],
        ]),
      ],
      ['team-a/empty.example', new Map()],
    ]),
  )
})

test('files and directories are root-only, and the replaced value is gone', t => {
  const directory = join(scratch(t), 'secrets')
  saveSecret(directory, 'default/anthropic', { token: CANARY })
  saveSecret(directory, 'default/anthropic', { token: 'new' })
  assert.deepEqual(fs.readdirSync(directory, { recursive: true }).sort(), ['default', 'default/anthropic'])
  for (const [path, mode] of [
    ['', 0o700],
    ['default', 0o700],
    ['default/anthropic', 0o600],
  ] as const) {
    assert.equal(fs.statSync(join(directory, path)).mode & 0o777, mode)
  }
  assert.deepEqual(JSON.parse(fs.readFileSync(join(directory, 'default/anthropic'), 'utf8')), { token: 'bmV3' })
})

test('what a crash left unfinished is removed', t => {
  const directory = join(scratch(t), 'secrets')
  saveSecret(directory, 'default/anthropic', { token: CANARY })
  fs.writeFileSync(join(directory, 'default/.unfinished-0123'), '{"token": "c2st', { mode: 0o600 })
  assert.deepEqual([...loadSecrets(directory).keys()], ['default/anthropic'])
  assert.deepEqual(fs.readdirSync(join(directory, 'default')), ['anthropic'])
})

const encoded = Buffer.from(CANARY).toString('base64')
const DAMAGE: readonly (readonly [string, string])[] = [
  ['an empty file', ''],
  ['a half-written file', `{"token": "${encoded}`],
  ['a list', `["${encoded}"]`],
  ['a value that is no text', '{"token": 5}'],
  ['a value that is not base64', `{"token": "${CANARY}!"}`],
  ['an odd key', `{"to/ken": "${encoded}"}`],
]
for (const [what, text] of DAMAGE) {
  test(`${what} is an error that names the file and no value`, t => {
    const directory = join(scratch(t), 'secrets')
    saveSecret(directory, 'default/anthropic', { token: CANARY })
    const file = join(directory, 'default/anthropic')
    fs.writeFileSync(file, text)
    for (const use of [
      () => loadSecrets(directory),
      () => saveSecret(directory, 'default/anthropic', { other: 'x' }),
    ]) {
      assert.throws(use, {
        message: `a file of the state cannot be used: ${file}: it is not JSON of keys and base64 values. Remove ${file} and set it anew: clrk secret set default/anthropic --from-env KEY=VARIABLE`,
      })
    }
    assert.equal(fs.readFileSync(file, 'utf8'), text)
  })
}

test('a file that others can read, a link and a foreign file are refused', t => {
  const directory = join(scratch(t), 'secrets')
  saveSecret(directory, 'default/anthropic', { token: CANARY })
  const file = join(directory, 'default/anthropic')
  fs.chmodSync(file, 0o640)
  assert.throws(() => loadSecrets(directory), /others may read or change it/)
  fs.chmodSync(file, 0o600)
  const link = join(directory, 'default/link')
  fs.symlinkSync(file, link)
  assert.throws(() => loadSecrets(directory), /cannot be opened/)
  fs.unlinkSync(link)
  fs.writeFileSync(join(directory, 'default/anthropic~'), JSON.stringify({ token: encoded }), { mode: 0o600 })
  assert.throws(() => loadSecrets(directory), /anthropic~: it is not a Secret/)
})

for (const name of [
  'anthropic',
  '../x/y',
  '../x',
  'default/../x',
  'default/.hidden',
  'default/',
  '/x',
  'Default/x',
  'a/b/c',
]) {
  test(`${JSON.stringify(name)} is no name of a Secret, and nothing is written`, t => {
    const parent = scratch(t)
    assert.throws(
      () => saveSecret(join(parent, 'secrets'), name, { token: CANARY }),
      error => isClrkError(error) && error.fault.code === 'CLRK_ARGUMENT_INVALID' && !error.message.includes(CANARY),
    )
    assert.deepEqual(fs.readdirSync(parent), [])
  })
}

for (const key of ['', '.', '..', 'a/b', 'a b', 'k'.repeat(254)]) {
  test(`${JSON.stringify(key.slice(0, 10))} is no key`, t => {
    assert.throws(
      () => saveSecret(scratch(t), 'default/x', { [key]: CANARY }),
      error => isClrkError(error) && error.fault.code === 'CLRK_ARGUMENT_INVALID' && !error.message.includes(CANARY),
    )
  })
}

test('a Secret too large to be loaded again is refused, and the old one stays', t => {
  const directory = join(scratch(t), 'secrets')
  saveSecret(directory, 'default/x', { token: CANARY })
  const large = 'x'.repeat(LIMITS.privateFileBytes)
  assert.throws(() => saveSecret(directory, 'default/x', { large }), /all its values together are too large/)
  assert.deepEqual(loadSecrets(directory), new Map([['default/x', new Map([['token', CANARY]])]]))
})

test('a value that is not bytes is refused without showing it', t => {
  assert.throws(
    () => saveSecret(scratch(t), 'default/x', { token: `${CANARY}€` }),
    error => isClrkError(error) && !error.message.includes(CANARY),
  )
})

function scratch(t: TestContext): string {
  const directory = fs.mkdtempSync(join(tmpdir(), 'clrk-store-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}
