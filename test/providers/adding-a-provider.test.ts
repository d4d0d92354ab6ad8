/** docs/adding-a-provider.md promises a number of steps and names files: both are true. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const ROOT = new URL('../../', import.meta.url)
const NUMBERS = ['one', 'two', 'three', 'four', 'five', 'six']

test('the page has as many steps as it says, and every file that it names exists', () => {
  const page = readFileSync(new URL('docs/adding-a-provider.md', ROOT), 'utf8')
  const steps = page.match(/^\d+\. /gm) ?? []
  const promised = /^(\w+) steps;/m.exec(page)?.[1]?.toLowerCase() ?? ''
  assert.equal(NUMBERS.indexOf(promised) + 1, steps.length)
  const files = [...page.matchAll(/`((?:src|test)\/[^`]+)`/g)].map(([, file]) => file ?? '')
  assert.ok(files.length >= 4)
  for (const file of files) assert.ok(existsSync(new URL(file, ROOT)), file)
})
