import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNameTable, EXPLAINING_ADDRESS, virtualAddress } from '../../src/dns/virtual-addresses.ts'
import { LIMITS } from '../../src/limits.ts'
import type { HostName } from '../../src/policy/policy.ts'

const name = (text: string) => text as HostName
const kept = async () => {}

test('a name keeps its address, two names never share one', async () => {
  const table = createNameTable([], kept)
  const [a, b, again] = await Promise.all(['a.example', 'b.example', 'a.example'].map(n => table.addressOf(name(n))))
  assert.deepEqual(a, virtualAddress(0))
  assert.deepEqual(b, virtualAddress(1))
  assert.deepEqual(again, a)
  assert.equal(table.nameAt('198.18.1.0'), 'a.example')
  assert.equal(table.nameAt('fd00:5a:0:0:0:0:1:1'), 'b.example') // as SO_ORIGINAL_DST spells it
  assert.equal(table.nameAt('fd00:5a::1:1'), 'b.example')
})

test('nobody learns an address before it is journalled', async () => {
  let keep = () => {}
  const table = createNameTable([], () => new Promise<void>(resolve => (keep = resolve)))
  const answer = table.addressOf(name('slow.example'))
  assert.equal(table.nameAt('198.18.1.0'), null)
  keep()
  assert.deepEqual(await answer, virtualAddress(0))
  assert.equal(table.nameAt('198.18.1.0'), 'slow.example')
})

test('a number whose journal failed never comes to mean another name', async () => {
  let fails = true
  const table = createNameTable([], async () => {
    if (fails) throw new Error('the worker is gone')
  })
  assert.equal(await table.addressOf(name('lost.example')), null)
  fails = false
  assert.deepEqual(await table.addressOf(name('next.example')), virtualAddress(1))
  assert.equal(table.nameAt('198.18.1.0'), null)
})

test('a restart knows every name', async () => {
  const table = createNameTable([name('old.example')], kept)
  assert.equal(table.nameAt('198.18.1.0'), 'old.example')
  assert.deepEqual(await table.addressOf(name('new.example')), virtualAddress(1))
})

test('names are capped, and the cap costs no memory', async () => {
  const table = createNameTable(
    Array.from({ length: LIMITS.namesPerSandbox }, (_, n) => name(`n${n}.example`)),
    kept,
  )
  assert.equal(await table.addressOf(name('one-too-many.example')), null)
  assert.notEqual(await table.addressOf(name('n7.example')), null)
})

test('the explaining address is nobody’s', () => {
  const table = createNameTable([], kept)
  assert.equal(table.nameAt(EXPLAINING_ADDRESS.ipv4), 'explaining')
  assert.equal(table.nameAt('fd00:5a:0:0:0:0:0:2'), 'explaining')
  assert.equal(table.nameAt('198.18.0.53'), null)
})

test('every number stays inside its ranges', () => {
  assert.deepEqual(virtualAddress(LIMITS.namesPerSandbox), { ipv4: '198.18.17.0', ipv6: 'fd00:5a::1:1000' })
})
