/** Engines that cannot be used are refused with a sentence, and credentials of registries stay out of sight. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { messageOf } from '../../src/errors.ts'
import { connectEngine, type EngineInfo, type EngineVersion, refusalOf } from '../../src/runtimes/docker-connect.ts'
import { registryCredentials, registryOf } from '../../src/runtimes/docker-credentials.ts'

const directory = mkdtempSync(join(tmpdir(), 'clrk-refused-'))
test.after(() => rmSync(directory, { recursive: true }))

const connect = (host: string) =>
  connectEngine({ host, stateId: 'abcd1234', state: directory, directory, dockerConfig: null })

test('no engine, or no socket', async () => {
  await assert.rejects(connect(`unix://${directory}/none.sock`), /none\.sock: no engine answers there\. Start it/)
  writeFileSync(join(directory, 'file'), '')
  await assert.rejects(connect(`unix://${directory}/file`), /no engine answers there/)
})

for (const host of ['tcp://127.0.0.1:2375', 'ssh://user:secret@host', 'npipe:////./pipe/docker', 'docker.sock']) {
  test(`an engine that is reached by ${host.split(':')[0]} is refused without asking it`, async () => {
    const error = await connect(host).then(() => '', messageOf)
    assert.match(error, /an engine on another machine cannot be used/)
    assert.doesNotMatch(error, /secret/)
  })
}

test('a socket that this user may not use', async t => {
  const server = createServer().listen(join(directory, 'closed.sock'))
  t.after(() => server.close())
  const socket = join(directory, 'closed.sock')
  chmodSync(socket, 0o600)
  chownSync(socket, 65_534, 65_534)
  // Root without the power to pass everywhere: a clone may lie where no other uid gets to.
  const module = join(import.meta.dirname, '../../src/runtimes/docker-connect.ts')
  const options = { host: `unix://${socket}`, stateId: 'abcd1234', state: directory, directory, dockerConfig: null }
  const script = `import(${JSON.stringify(module)})
    .then(({ connectEngine }) => connectEngine(${JSON.stringify(options)}))
    .catch(error => console.log(error.message))`
  const said = execFileSync('setpriv', ['--bounding-set=-all', process.execPath, '-e', script], { encoding: 'utf8' })
  assert.match(said, /closed\.sock: this user may not use its socket\. Run the same command with sudo\./)
})

const DOCKER: EngineVersion = { Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12' }
const HERE: EngineInfo = {
  OperatingSystem: 'Debian',
  KernelVersion: '6.1',
  SecurityOptions: ['name=seccomp,profile=default'],
}

test('engines that are too old, rootless or in a virtual machine are recognised by what they say', () => {
  const podman = (Version: string): EngineVersion => ({
    ...{ Version, ApiVersion: '1.41', Components: [{ Name: 'Podman Engine', Version }] },
  })
  const reason = (version: EngineVersion, info: EngineInfo) => refusalOf(version, info, '6.1')?.reason ?? null
  assert.equal(reason(DOCKER, HERE), null)
  assert.equal(reason({ Version: '29.0', ApiVersion: '1.52', MinAPIVersion: '1.44' }, HERE), null)
  assert.equal(reason({ Version: '19.03.1', ApiVersion: '1.40' }, HERE), 'it is Docker 19.03.1')
  assert.equal(reason({}, HERE), 'it is Docker of no version')
  assert.equal(reason(podman('4.3.1'), HERE), null)
  assert.equal(reason(podman('3.4.4'), HERE), 'it is Podman 3.4.4')
  assert.match(reason(DOCKER, { ...HERE, OperatingSystem: 'Docker Desktop' }) ?? '', /^it is Docker Desktop/)
  assert.match(
    reason(DOCKER, { ...HERE, KernelVersion: '6.1-linuxkit' }) ?? '',
    /its kernel is 6\.1-linuxkit and ours 6\.1/,
  )
  assert.match(reason(DOCKER, { ...HERE, SecurityOptions: ['name=seccomp', 'name=rootless'] }) ?? '', /without root/)
})

test('credentials of a registry: by name, by helper, or none', async () => {
  const config = join(directory, 'config.json')
  const auth = Buffer.from('user:pass:word').toString('base64')
  writeFileSync(config, JSON.stringify({ auths: { 'https://reg.example:5000/v1/': { auth } } }))
  const found = await registryCredentials('reg.example:5000/a/b:1', config)
  assert.deepEqual(found, { username: 'user', password: 'pass:word', serveraddress: 'reg.example:5000' })
  assert.equal(await registryCredentials('debian:12', config), null)
  assert.equal(await registryCredentials('debian:12', join(directory, 'none')), null)

  const helper = join(directory, 'docker-credential-x')
  writeFileSync(helper, '#!/bin/sh\nread r; printf \'{"Username":"%s","Secret":"word"}\' "$r"\n', { mode: 0o755 })
  writeFileSync(config, JSON.stringify({ credsStore: 'x' }))
  process.env.PATH = `${process.env.PATH}:${directory}`
  const asked = await registryCredentials('reg.example/a', config)
  assert.deepEqual(asked, { username: 'reg.example', password: 'word', serveraddress: 'reg.example' })

  writeFileSync(helper, '#!/bin/sh\necho canary-secret; echo canary-secret >&2; exit 1\n', { mode: 0o755 })
  const failure = await registryCredentials('reg.example/a', config).then(() => '', messageOf)
  assert.match(failure, /docker-credential-x failed/)
  assert.doesNotMatch(failure, /canary/)
  writeFileSync(config, '{"auths": canary-secret')
  assert.doesNotMatch(await registryCredentials('reg.example/a', config).then(() => '', messageOf), /canary/)
})

test('the registry of a reference', () => {
  const hub = 'https://index.docker.io/v1/'
  const known = {
    debian: hub,
    'debian:12': hub,
    'a/b:1': hub,
    'localhost/a': 'localhost',
    'h:5000/a': 'h:5000',
    'h.example/a/b': 'h.example',
  }
  for (const [reference, registry] of Object.entries(known)) assert.equal(registryOf(reference), registry)
})
