/** The programs that the benchmark runs: where they are, and how the ones of our own are built. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const HERE = import.meta.dirname
/** Removed together with node_modules; `setup.sh bench` fills it. */
export const CACHE = join(HERE, '../node_modules/.cache/clrk-bench')

export const TOOLS = {
  load: join(CACHE, 'load'),
  origin: join(CACHE, 'origin'),
  goproxy: join(CACHE, 'goproxy'),
  mitmdump: join(CACHE, 'mitmproxy/bin/mitmdump'),
  nginx: '/usr/sbin/nginx',
  nginxStream: '/usr/lib/nginx/modules/ngx_stream_module.so',
  haproxy: '/usr/sbin/haproxy',
  squid: '/usr/sbin/squid',
  squidHelper: '/usr/lib/squid/security_file_certgen',
  h2load: '/usr/bin/h2load',
} as const

export type Tool = keyof typeof TOOLS

/** Throws one line that says what to do where a tool is missing. */
export function requireTools(needed: readonly Tool[]): void {
  const missing = needed.filter(tool => !existsSync(TOOLS[tool])).map(tool => TOOLS[tool])
  if (missing.length > 0) throw new Error(`bench: missing: ${missing.join(', ')}; run: sh src/setup.sh bench`)
}

/** Compiles the load generator and the origin where they are missing or older than their source. */
export function buildOwnTools(): void {
  mkdirSync(CACHE, { recursive: true })
  build(TOOLS.load, ['load/load.c', 'load/client.c'], ['load/client.h'])
  build(TOOLS.origin, ['origin/origin.c'], [])
}

function build(output: string, sources: readonly string[], headers: readonly string[]): void {
  const paths = [...sources, ...headers].map(path => join(HERE, path))
  if (existsSync(output) && paths.every(path => statSync(path).mtimeMs < statSync(output).mtimeMs)) return
  const files = sources.map(path => join(HERE, path))
  const argv = ['-O2', '-Wall', '-Wextra', '-o', output, ...files, '-lssl', '-lcrypto', '-lpthread']
  execFileSync('gcc', argv, { stdio: 'inherit' })
}

/** The first line that looks like a version of what `argv` prints. */
export function versionOf([program = '', ...argv]: readonly string[]): string {
  const text = execFileSync('/bin/sh', ['-c', 'exec "$@" 2>&1', 'sh', program, ...argv], { encoding: 'utf8' })
  return /\d+\.\d[\w.+-]*/.exec(text)?.[0] ?? 'unknown'
}
