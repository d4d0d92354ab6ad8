/** `node test/compat/table.ts`: writes the table of clients into docs/clients.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ALL, type Client } from './clients.ts'

export const PAGE = join(import.meta.dirname, '../../docs/clients.md')

/** The page with its table made anew, from what the tests of this folder hold. */
export function withTable(page: string): string {
  const rows = ALL.map(client => `| ${client.name} | ${trusts(client)} | ${client.offers} | ${places(client)} |`)
  const table = [
    '| client | any one suffices | ALPN | a local sandbox, an image |',
    '| --- | --- | --- | --- |',
    ...rows,
  ]
  return page.replace(BETWEEN_MARKS, (_whole, begin, end) => `${begin}\n${table.join('\n')}\n${end}`)
}

function trusts({ trusts }: Client): string {
  if (trusts.length === 0) return 'nothing: its roots are compiled in'
  return trusts.map(parts => parts.map(part => WORDS[part] ?? `\`${part}\``).join(' with ')).join(', ')
}

function places({ trusts, image = true }: Client): string {
  if (trusts.length === 0) return 'refuses'
  return image ? 'works, works' : 'works, not run'
}

const BETWEEN_MARKS = /(<!-- table -->)[\s\S]*(<!-- end of table -->)/
const WORDS: Readonly<Record<string, string>> = {
  bundle: 'the bundle',
  hash: '`<subject_hash>.0`',
  keystore: 'the Java keystore',
}

if (import.meta.main) writeFileSync(PAGE, withTable(readFileSync(PAGE, 'utf8')))
