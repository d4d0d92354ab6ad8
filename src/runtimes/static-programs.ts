/**
 * The static programs of images/: shipped in the package for each architecture, compiled by gcc in a clone. Never
 * compiled into the package itself, which may belong to somebody else.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { clrkError, messageOf } from '../errors.ts'
import { TOOL_PATH } from '../plumbing/tool-path.ts'

/**
 * Path of `images/<name>/<name>.c` as a static program that any uid may run. `directory` keeps what is compiled, named
 * by the source. Rejects with CLRK_TOOL_MISSING where there is neither a compiled one nor a compiler.
 */
export async function staticProgram(name: 'pause' | 'init', directory: string): Promise<string> {
  const shipped = inPackage(`images/${name}/${name}-${process.arch}`)
  if (shipped !== null) return shipped
  const source = inPackage(`images/${name}/${name}.c`)
  if (source === null) throw new Error(`images/${name} is missing from this installation`)
  const digest = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16)
  const program = join(directory, `${name}-${process.arch}-${digest}`)
  if (existsSync(program)) return program
  mkdirSync(directory, { recursive: true })
  const unfinished = `${program}.${process.pid}`
  try {
    await promisify(execFile)('gcc', ['-static', '-Os', '-s', '-Wall', '-Wextra', '-o', unfinished, source], {
      env: { PATH: TOOL_PATH },
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw clrkError('CLRK_TOOL_MISSING', { tool: 'gcc', path: TOOL_PATH, package: 'gcc libc6-dev' })
    }
    const fix = 'apt-get install gcc libc6-dev'
    throw clrkError('CLRK_SANDBOX_FAILED', { step: `compiling ${source}`, reason: messageOf(error), fix })
  }
  chmodSync(unfinished, 0o755)
  renameSync(unfinished, program) // whole, whoever else compiles it at the same time
  return program
}

/** Two levels up from here in a clone, three from `dist/src` in a package; null where it is in neither. */
function inPackage(path: string): string | null {
  for (const root of ['../../', '../../../']) {
    const found = fileURLToPath(new URL(`${root}${path}`, import.meta.url))
    if (existsSync(found)) return found
  }
  return null
}
