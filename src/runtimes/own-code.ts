/** Where clrk's own code and its Node lie: root runs them, so an agent that could write there would be root. */
import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { isWithin } from './host-files.ts'

/** This package, both in a clone (src/runtimes) and installed (dist/src/runtimes). */
export const PACKAGE = packageAbove(import.meta.dirname)

/** Would `path` (without links) let an agent change what root runs: does it hold, or lie in, clrk's own code? */
export function holdsCode(path: string): boolean {
  return OWN.some(own => isWithin(own, path)) || CODE.some(code => isWithin(path, code))
}

/** What is said of it, and what to do. */
export const OWN_CODE = [
  "it is, holds or lies in clrk's own code, which root runs",
  'Name another directory, or install clrk outside of this one: npm install --global.',
] as const

function packageAbove(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : packageAbove(dirname(directory))
}

/**
 * Installed beside it lie the packages that it imports; a clone has its code, and the manifests that `npm run demo` applies,
 * in some of its directories.
 */
const CODE =
  basename(dirname(PACKAGE)) === 'node_modules'
    ? [dirname(PACKAGE)]
    : ['.git', '.ci', 'bench', 'dist', 'examples', 'images', 'netns', 'node_modules', 'src', 'test'].map(part =>
        join(PACKAGE, part),
      )
const OWN = [PACKAGE, realpathSync(process.execPath)]
