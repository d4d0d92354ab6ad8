import assert from 'node:assert/strict'
import test from 'node:test'
import { nearest, parseArguments } from '../../src/cli/arguments.ts'
import { parseRun } from '../../src/cli/run.ts'
import { parseSecretSet } from '../../src/cli/secret.ts'
import {
  allowedHost,
  cpuCount,
  memoryBytes,
  pidCount,
  secretsFromEnvironment,
  stateDirectory,
  userIds,
} from '../../src/cli/values.ts'

const SPECIFICATION = { file: 'values', state: 'value', json: 'flag' } as const
const parse = (...argv: string[]) => parseArguments(argv, SPECIFICATION, { short: { f: 'file' }, maximum: 1 })

test('options, positionals and a command are told apart', () => {
  assert.deepEqual(parse('-f', 'a', '--file=b', 'dir', '--json', '--', 'cmd', '--json', '--'), {
    options: { file: ['a', 'b'], state: null, json: true },
    positionals: ['dir'],
    command: ['cmd', '--json', '--'],
  })
})

test('a wrong option is refused by its name, with the one that was meant', () => {
  const refusals: [string[], RegExp][] = [
    [['--jsn'], /--jsn: there is no such option\. Did you mean --json\?/],
    [['--toString'], /--toString: there is no such option/],
    [['-x'], /-x: there is no such option/],
    [['--json=1'], /--json: it takes no value/],
    [['--state'], /--state: its value is missing/],
    [['--state', '--json'], /--state: its value is missing/],
    [['--state', 'a', '--state', 'b'], /--state: it is given twice/],
    [['a', 'b'], /b: nothing is expected here\. A command goes after --/],
  ]
  for (const [argv, message] of refusals) assert.throws(() => parse(...argv), message)
})

test('the nearest word is at most two edits away', () => {
  assert.equal(nearest('statsu', ['dev', 'run', 'status']), 'status')
  assert.equal(nearest('xyz', ['dev', 'run']), null)
})

test('--secret takes its value from the variable, merges by name and derives the key', () => {
  const environment = { ANTHROPIC_API_KEY: 'sk-1', B: 'caf\u00e9', EMPTY: '' }
  assert.deepEqual(secretsFromEnvironment(['s=ANTHROPIC_API_KEY', 's=B:other', 't=B'], environment), [
    { name: 's', data: { 'anthropic-api-key': 'sk-1', other: 'caf\xc3\xa9' }, persist: false },
    { name: 't', data: { b: 'caf\xc3\xa9' }, persist: false },
  ])
  assert.throws(() => secretsFromEnvironment(['s=MISSING'], environment), /variable MISSING is not set/)
  assert.throws(() => secretsFromEnvironment(['s=EMPTY'], environment), /variable EMPTY is empty/)
})

test('a key written where a variable name belongs is not repeated', () => {
  const refused = (call: () => unknown) => assert.throws(call, error => !/sk-ant/.test((error as Error).message))
  refused(() => secretsFromEnvironment(['s=sk-ant-1234'], {}))
  refused(() => parseSecretSet(['set', 's', '--from-literal', 'sk-ant-1234'], {}))
})

test('secret set reads literals, files and variables', () => {
  const argv = ['set', 'keys', '-n', 'team', '--from-literal=a=x=y', '--from-file=b=/dev/null', '--from-env=c=V']
  const { name, data } = parseSecretSet(argv, { V: 'v' })
  assert.deepEqual({ name, data }, { name: 'team/keys', data: { a: 'x=y', b: '', c: 'v' } })
  assert.throws(() => parseSecretSet(['set', 'keys'], {}), /no key is given/)
  assert.throws(() => parseSecretSet(['set', 'a/b', '-n', 'c', '--from-literal=a=b'], {}), /names a namespace already/)
  assert.throws(() => parseSecretSet(['set', 'a', '--from-file=b=/nonexistent'], {}), /cannot be read \(ENOENT\)/)
})

test('sizes, counts, users and hosts are read exactly or refused', () => {
  assert.deepEqual(['1', '512Mi', '2G', '1.5Ki'].map(memoryBytes), [1, 536_870_912, 2e9, 1536])
  for (const wrong of ['', '0', '-1', '5X', 'Mi', '1e3', '99999999999Ti'])
    assert.throws(() => memoryBytes(wrong), /--memory/)
  assert.equal(cpuCount('0.5'), 0.5)
  for (const wrong of ['0', '-1', 'x', '']) assert.throws(() => cpuCount(wrong), /--cpus/)
  assert.equal(pidCount('64'), 64)
  for (const wrong of ['0', '1.5', '']) assert.throws(() => pidCount(wrong), /--pids/)
  assert.deepEqual(userIds('1000'), { uid: 1000, gid: 1000 })
  assert.deepEqual(userIds('0:7'), { uid: 0, gid: 7 })
  for (const wrong of ['root', '65535', '1:', '1:2:3']) assert.throws(() => userIds(wrong), /--user/)
  assert.deepEqual(allowedHost('a.example'), { host: 'a.example', port: 443 })
  assert.deepEqual(allowedHost('*.a.example:8443'), { host: '*.a.example', port: 8443 })
  for (const wrong of ['https://a', 'a:0', 'a:65536', 'a:b', '', 'a b'])
    assert.throws(() => allowedHost(wrong), /--allow/)
})

test('the state is where the option, the variable or the home says', () => {
  assert.equal(stateDirectory('/a', { CLRK_STATE: '/b', HOME: '/c' }), '/a')
  assert.equal(stateDirectory(null, { CLRK_STATE: '/b', HOME: '/c' }), '/b')
  assert.equal(stateDirectory(null, { HOME: '/c' }), '/c/.clrk')
})

test('clrk run makes one request of its command line', () => {
  const argv = [
    '--gateway=g',
    '--allow=a',
    '--user=5',
    '--memory=1Gi',
    '--workspace=/var/tmp',
    '--json',
    '--',
    'sh',
    '-c',
    'x',
  ]
  const { request, json } = parseRun(argv, { PATH: '/bin', UNSET: undefined })
  assert.equal(json, true)
  assert.deepEqual(request.what, {
    kind: 'command',
    argv: ['sh', '-c', 'x'],
    files: [],
    secrets: [],
    gateway: 'g',
    allow: [{ host: 'a', port: 443 }],
  })
  assert.deepEqual(request.callerEnvironment, { PATH: '/bin' })
  assert.deepEqual([request.workspace, request.user, request.memoryBytes], ['/var/tmp', { uid: 5, gid: 5 }, 2 ** 30])
  assert.throws(() => parseRun(['sh'], {}), /sh: nothing is expected here/)
  assert.throws(() => parseRun(['--'], {}), /a command is missing/)
  assert.throws(() => parseRun(['--workspace=/nonexistent', '--', 'x'], {}), /--workspace/)
})
