/** Manifests from disk, unparsed: the worker reads YAML, so that an error is the same whoever sent the file. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { ResourceFile } from '../worker/control.ts'
import { usageError } from './arguments.ts'

/**
 * Every `-f`: a file of any name, or a directory with its .yaml, .yml and .json files below it, in name order. Hidden
 * directories and node_modules are left out. The paths in the result begin as they were written.
 */
export function loadFiles(paths: readonly string[]): readonly ResourceFile[] {
  return paths.flatMap(path => {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) throw usageError(`-f ${path}`, 'there is no such file or directory', CHECK_PATH)
    if (!stat.isDirectory()) return [readResource(path)]
    const files = manifestsBelow(path).map(readResource)
    if (files.length === 0) throw usageError(`-f ${path}`, 'no .yaml, .yml or .json file is below it', CHECK_PATH)
    return files
  })
}

/** The manifests of an example: `DIR/manifests`, else `DIR/*.yaml` (a program has other JSON files beside it). */
export function loadExample(directory: string): readonly ResourceFile[] {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw usageError(
      directory,
      'there is no such directory',
      'Name the directory of an example, or give manifests with -f.',
    )
  }
  const manifests = join(directory, 'manifests')
  const inside = statSync(manifests, { throwIfNoEntry: false })?.isDirectory()
    ? manifestsBelow(manifests)
    : readdirSync(directory)
        .filter(name => /\.ya?ml$/.test(name))
        .sort()
        .map(name => regularFile(join(directory, name)))
  if (inside.length === 0) {
    throw usageError(
      directory,
      'it has no manifests/ and no .yaml file',
      'Name the directory of an example, or give manifests with -f.',
    )
  }
  return inside.map(readResource)
}

function manifestsBelow(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(entry => {
      const path = join(directory, entry.name)
      if (entry.isDirectory()) {
        return entry.name.startsWith('.') || entry.name === 'node_modules' ? [] : manifestsBelow(path)
      }
      if (!EXTENSIONS.includes(extname(entry.name))) return []
      return [regularFile(path)]
    })
}

/** A FIFO or a device that lies in a directory would never end; one that is named itself may be a shell's <(…). */
function regularFile(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path
  throw usageError(path, 'it is no regular file', CHECK_PATH)
}

function readResource(path: string): ResourceFile {
  try {
    return { path, text: readFileSync(path, 'utf8') }
  } catch (error) {
    throw usageError(path, `it cannot be read (${(error as NodeJS.ErrnoException).code})`, CHECK_PATH)
  }
}

const EXTENSIONS = ['.yaml', '.yml', '.json']
const CHECK_PATH = 'Check the path.'
