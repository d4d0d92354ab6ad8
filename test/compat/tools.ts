/** Where setup.sh of this folder put clients and servers, and the environment in which a caller has them. */
import { existsSync, realpathSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeWorkspace } from '../world/clrk.ts'
import { NAMES } from '../world/names.ts'
import type { World } from '../world/world.ts'

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/clrk/compat')
/** What npm installed: packages by name, and the programs that they bring. */
export const PACKAGES = join(CACHE, 'npm/node_modules')
/** The virtual environment, with its pip. */
export const PYTHON = join(CACHE, 'python/bin')
export const NPM = join(PACKAGES, 'npm/bin/npm-cli.js')
export const NODE20 = join(PACKAGES, `node20-linux-${process.arch}/bin/node`)
/** With OpenSSL, where Debian's own has GnuTLS. */
export const WGET = join(CACHE, 'wget/wget')
/** Static: it needs nothing of an image. */
export const GO_CLIENT = join(CACHE, 'go/go-client')
export const JAVA_CLASSES = join(CACHE, 'java')
/** None where the machine's cargo is too old for current crates. */
export const RUST = join(CACHE, 'rust/debug/rust-clients')
/** Checks HTTP/2 servers, case by case. */
export const H2SPEC = join(CACHE, 'h2spec/h2spec')
export const BUN = join(PACKAGES, `@oven/bun-linux-${process.arch === 'x64' ? 'x64' : 'aarch64'}/bin/bun`)
export const DENO = join(PACKAGES, `@deno/linux-${process.arch}-glibc/deno`)

const ARCH = process.arch === 'x64' ? 'x86_64' : 'aarch64'
/** The agents themselves, as their vendors publish them. */
export const CLAUDE = join(PACKAGES, `@anthropic-ai/claude-code-linux-${process.arch}/claude`)
export const CODEX = join(PACKAGES, `@openai/codex-linux-${process.arch}/vendor/${ARCH}-unknown-linux-musl/bin/codex`)

/** A workspace in which `import` finds the packages, as in a project after `npm install`. */
export function makeProject(world: World): string {
  const project = makeWorkspace(world, 'project')
  symlinkSync(realpathSync(PACKAGES), join(project, 'node_modules'))
  return project
}

/** Without any variable for proxies or trust. PATH: this Node, the packages' programs, the virtual environment. */
export function callerEnvironment(world: World): Readonly<Record<string, string>> {
  const own = [
    CLAUDE,
    CODEX,
    process.execPath,
    join(PACKAGES, '.bin/verdaccio'),
    join(PYTHON, 'python'),
    BUN,
    DENO,
    RUST,
    H2SPEC,
  ]
  own.push(WGET, GO_CLIENT, join(JAVA_CLASSES, 'Client.class'))
  const path = [...own.filter(existsSync).map(file => dirname(file)), '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin']
  return { PATH: path.join(':'), HOME: join(world.directory, 'home'), LANG: 'C.UTF-8' }
}

/** Where a test's own server has to listen, to be what stands at `name`. */
export function portOf(name: string): number {
  const standIn = NAMES[name]
  if (standIn?.role !== 'service') throw new Error(`${name} is no service in this world`)
  return standIn.port
}
