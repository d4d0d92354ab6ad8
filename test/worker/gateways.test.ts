import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createGateways } from '../../src/worker/gateways.ts'
import { MANIFESTS } from './fixtures.ts'

const FILES = [{ path: 'a.yaml', text: MANIFESTS }]

function world(t: TestContext) {
  const path = mkdtempSync(join(tmpdir(), 'gateways-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  const directories = { authorities: join(path, 'ca'), secrets: join(path, 'secrets') }
  const changed: string[] = []
  const open = () => createGateways(directories, key => changed.push(key))
  return { path, changed, open, gateways: open() }
}

const command = (over: object) =>
  ({ kind: 'command', argv: ['true'], files: [], secrets: [], gateway: null, allow: [], ...over }) as const

test('the newest value of a secret wins: manifest, kept, --secret, set', t => {
  const { gateways, open } = world(t)
  const value = (of = gateways, key = 'default/g') => of.state(key)?.secrets['default/key/token']
  gateways.apply({ files: FILES, secrets: [], mockProvider: null })
  assert.equal(value(), 'from-manifest')
  gateways.setSecret({ name: 'key', data: { token: 'kept' }, persist: true })
  assert.equal(value(), 'kept')
  const later = open()
  later.apply({ files: FILES, secrets: [], mockProvider: null })
  assert.equal(value(later), 'kept')
  later.apply({
    files: FILES,
    secrets: [{ name: 'key', data: { token: 'shell' }, persist: false }],
    mockProvider: null,
  })
  assert.equal(value(later), 'shell')
  later.setSecret({ name: 'default/key', data: { token: 'rotated' }, persist: true })
  assert.equal(value(later), 'rotated')
})

test('a --secret is in memory only', t => {
  const { gateways, path, open } = world(t)
  gateways.apply({
    files: FILES,
    secrets: [{ name: 'key', data: { token: 'shell' }, persist: false }],
    mockProvider: null,
  })
  const later = open()
  later.apply({
    files: [{ path: 'a', text: MANIFESTS.replace('from-manifest', 'other') }],
    secrets: [],
    mockProvider: null,
  })
  assert.equal(later.state('default/g')?.secrets['default/key/token'], 'other')
  assert.throws(() => readFileSync(join(path, 'secrets', 'default', 'key')), { code: 'ENOENT' })
})

test('two runs with gateways of one name have policies of their own, and forget them', t => {
  const { gateways } = world(t)
  const files = (host: string) => [
    {
      path: 'a.yaml',
      text: `${MANIFESTS}---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressL4Route
metadata: {name: l}
spec:
  parentRefs: [{group: clrk.apoxy.dev, kind: EgressGateway, name: g}]
  rules: [{matches: [{destinationHostnames: [${host}]}]}]
`,
    },
  ]
  const a = gateways.forRun('run-a', command({ files: files('a.example') }))
  const b = gateways.forRun('run-b', command({ files: files('b.example') }))
  assert.deepEqual([a.name, b.name], ['default/g', 'default/g'])
  assert.notEqual(a.key, b.key)
  const hosts = (key: string) => JSON.stringify(gateways.state(key)?.policy.l4Rules)
  assert.match(hosts(a.key), /a\.example/)
  assert.doesNotMatch(hosts(a.key), /b\.example/)
  assert.match(hosts(b.key), /b\.example/)
  a.close()
  assert.equal(gateways.state(a.key), null)
  assert.notEqual(gateways.state(b.key), null)
})

test('a rotation reaches the runs that hold the secret', t => {
  const { gateways, changed } = world(t)
  const run = gateways.forRun('run-a', command({ files: FILES }))
  gateways.setSecret({ name: 'key', data: { token: 'rotated' }, persist: true })
  assert.equal(gateways.state(run.key)?.secrets['default/key/token'], 'rotated')
  assert.ok(changed.includes(run.key))
})

test('without manifests a run is deny-all but for what it names', t => {
  const { gateways } = world(t)
  const { key } = gateways.forRun('run-a', command({ allow: [{ host: 'a.example', port: 8443 }] }))
  const policy = gateways.state(key)?.policy
  assert.equal(policy?.defaultPolicy, 'deny-all')
  assert.deepEqual(
    policy?.l4Rules.map(({ hostnames, ports }) => ({ hostnames, ports })),
    [{ hostnames: [{ kind: 'exact', name: 'a.example' }], ports: [{ start: 8443, end: 8443 }] }],
  )
  assert.deepEqual(policy?.listeners, [{ name: 'egress', kind: 'tls-terminate', port: null }])
})

test('one run cannot widen a gateway of the running worker', t => {
  const { gateways } = world(t)
  gateways.apply({ files: FILES, secrets: [], mockProvider: null })
  assert.equal(gateways.forRun('run-a', command({ gateway: 'g' })).key, 'default/g')
  assert.throws(
    () => gateways.forRun('run-b', command({ gateway: 'g', allow: [{ host: 'a.example', port: 443 }] })),
    /cannot be widened/,
  )
  assert.throws(() => gateways.forRun('run-c', command({ gateway: 'nowhere' })), /no EgressGateway default\/nowhere/)
})

test('manifests with an error change nothing', t => {
  const { gateways, changed } = world(t)
  gateways.apply({ files: FILES, secrets: [], mockProvider: null })
  const before = gateways.state('default/g')?.policy.digest
  changed.length = 0
  const bad = [{ path: 'bad.yaml', text: 'kind: EgressGateway\n' }]
  assert.throws(() => gateways.apply({ files: bad, secrets: [], mockProvider: null }), /bad\.yaml:1:1/)
  assert.equal(gateways.state('default/g')?.policy.digest, before)
  assert.deepEqual(changed, [])
})

test('a trust bundle that is missing or broken lets nothing out', t => {
  const { gateways } = world(t)
  const text = MANIFESTS.replace(
    'spec: {listeners:',
    'spec: {upstreamTLS: {additionalTrustBundleSecretRef: {name: roots}}, listeners:',
  )
  const fault = () => gateways.state('default/g')?.policy.fault
  gateways.apply({ files: [{ path: 'a.yaml', text }], secrets: [], mockProvider: null })
  assert.match(String(fault()?.details.reason), /trust bundle Secret default\/roots does not exist/)
  gateways.setSecret({ name: 'roots', data: { 'ca.pem': 'no certificate' }, persist: false })
  assert.match(String(fault()?.details.reason), /holds no certificate/)
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'
  gateways.setSecret({ name: 'roots', data: { 'ca.pem': broken }, persist: false })
  assert.match(String(fault()?.details.reason), /unreadable/)
  const { certificatePem } = gateways.find('g').authority
  gateways.setSecret({ name: 'roots', data: { 'ca.pem': certificatePem }, persist: false })
  assert.equal(fault(), null)
})
