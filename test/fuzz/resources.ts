/** Whatever the text, loading ends with resources and problems that have a place in the text. */
import assert from 'node:assert/strict'
import { compilePolicy, gatewaysOf } from '../../src/policy/compile.ts'
import { loadResources } from '../../src/resources/load.ts'
import { statusOf } from '../../src/resources/references.ts'

const GATEWAY = `apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {name: g}
spec: {listeners: [{name: a, protocol: TLS, tls: {mode: Terminate}}], requestTimeout: 5m}
`
const ROUTE = `apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressL4Route
metadata: {name: r}
spec:
  parentRefs: [{group: clrk.apoxy.dev, kind: EgressGateway, name: g}]
  rules: [{matches: [{destinationHostnames: ["*.a.com"], destinationCIDRs: [10.0.0.0/8], ports: [{port: 443}]}]}]
`

export const target = {
  name: 'resources',
  seeds: [
    GATEWAY,
    ROUTE,
    `${GATEWAY}---\n${ROUTE}`,
    'a: &a [x]\nb: *a\n',
    '{"apiVersion": "v1", "kind": "List", "items": [{}]}',
  ].map(text => Buffer.from(text)),
  maximumBytes: 4096,
  run(bytes: Buffer): void {
    const text = bytes.toString('utf8')
    const { resources, problems } = loadResources([{ path: 'fuzz.yaml', text }])
    for (const { details } of problems) {
      assert.ok(details.line >= 1 && details.line <= text.split(/\n/).length && details.column >= 1)
      assert.ok(details.reason.length > 0 && details.fix.length > 0 && !/\n/.test(details.reason + details.fix))
    }
    statusOf(resources)
    for (const gateway of gatewaysOf(resources)) compilePolicy(resources, gateway, 1)
  },
}
