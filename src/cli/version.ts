/** Which version this package is. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PACKAGE } from '../runtimes/own-code.ts'

/** The version in package.json. */
export function version(): string {
  return JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')).version
}
