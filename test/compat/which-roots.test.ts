/** Each file and variable that docs/clients.md names for a client is enough by itself, and nothing else helps. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { ALL, CLIENTS } from './clients.ts'
import { openRange } from './roots.ts'
import { PAGE, withTable } from './table.ts'

const range = await openRange()
test.after(() => range.close())

test('this machine has every client, but for those that Debian 12 has no package of', () => {
  const missing = ALL.filter(client => !CLIENTS.includes(client)).map(({ name }) => name)
  assert.deepEqual(
    missing.filter(name => !/^Rust reqwest|^Java HttpClient \(temurin/.test(name)),
    [],
  )
})

for (const client of CLIENTS) {
  test(client.name, async t => {
    for (const parts of client.trusts) {
      await t.test(`is satisfied with ${parts.join(' and ')}`, async () => {
        const { offered, output } = await range.run(client, parts)
        assert.equal(offered, client.offers, output)
      })
    }
    await t.test('trusts nothing else', async () => {
      const named = client.trusts.flat()
      const others = range.parts.filter(part => !named.includes(part))
      const { offered, output } = await range.run(client, others)
      assert.equal(offered, null, output)
    })
  })
}

test('docs/clients.md has the table that follows from this list', () => {
  const page = readFileSync(PAGE, 'utf8')
  assert.equal(page, withTable(page), 'write it with: sh src/clrk --node test/compat/table.ts')
})
