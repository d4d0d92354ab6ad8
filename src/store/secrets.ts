/**
 * Secrets that an operator set with `clrk secret set`, kept over restarts: one root-only file each,
 * `<directory>/<namespace>/<name>`, JSON of key → base64. No value ever stands in an error.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { clrkError, messageOf } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import {
  damaged,
  ensurePrivateDirectory,
  objectPath,
  readPrivateFile,
  replacePrivateFile,
  UNFINISHED,
} from '../pki/private-files.ts'

/** Key → value as latin1, exactly as it was given. */
export type SecretData = ReadonlyMap<string, string>

/**
 * Every stored Secret, by `namespace/name`; what a crash left unfinished is removed.
 * Throws CLRK_STATE_DAMAGED for whatever is not a stored Secret, and names the file.
 */
export function loadSecrets(directory: string): ReadonlyMap<string, SecretData> {
  const secrets = new Map<string, SecretData>()
  for (const namespace of list(directory)) {
    for (const name of list(join(directory, namespace))) {
      const file = join(directory, namespace, name)
      if (name.startsWith(UNFINISHED)) {
        fs.unlinkSync(file)
        continue
      }
      const secret = `${namespace}/${name}`
      if (!isObjectName(directory, secret)) throw damaged(file, 'it is not a Secret', `Remove ${file}.`)
      const data = readSecret(file, secret)
      if (data !== null) secrets.set(secret, data)
    }
  }
  return secrets
}

/**
 * Adds or replaces keys of the Secret `name` (`namespace/name`); its other keys stay. Values are latin1 text.
 * Returns all its keys, sorted. Throws CLRK_ARGUMENT_INVALID for an odd name, key or value, CLRK_STATE_DAMAGED where
 * the stored file cannot be merged with: it is left as it is.
 */
export function saveSecret(directory: string, name: string, data: Readonly<Record<string, string>>): readonly string[] {
  const file = objectPath(directory, name)
  const merged = new Map(readSecret(file, name))
  for (const [key, value] of Object.entries(data)) {
    const reason = KEY.test(key)
      ? /^[\x00-\xff]*$/.test(value)
        ? null
        : 'its value is not bytes'
      : 'a key is 1 to 253 letters, digits, dashes, underscores and dots'
    if (reason !== null) {
      throw clrkError('CLRK_ARGUMENT_INVALID', {
        argument: `key ${JSON.stringify(key.slice(0, 64))} of Secret ${name}`,
        reason,
        fix: 'Use a key such as api-key.',
      })
    }
    merged.set(key, value)
  }
  const encoded = [...merged].sort().map(([key, value]) => [key, Buffer.from(value, 'latin1').toString('base64')])
  const text = `${JSON.stringify(Object.fromEntries(encoded), null, 2)}\n`
  if (text.length > LIMITS.privateFileBytes) {
    throw clrkError('CLRK_ARGUMENT_INVALID', {
      argument: `Secret ${name}`,
      reason: 'all its values together are too large',
      fix: 'Kubernetes allows 1 MiB; split it.',
    })
  }
  ensurePrivateDirectory(directory)
  replacePrivateFile(file, text)
  return [...merged.keys()].sort()
}

function readSecret(file: string, name: string): SecretData | null {
  const text = readPrivateFile(file)
  if (text === null) return null
  const data = decode(text)
  if (data === null) {
    throw damaged(
      file,
      'it is not JSON of keys and base64 values',
      `Remove ${file} and set it anew: clrk secret set ${name} --from-env KEY=VARIABLE`,
    )
  }
  return data
}

/** Null for anything that `saveSecret` would not write: the parser's own message would quote the text. */
function decode(text: string): SecretData | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return null
  const data = new Map<string, string>()
  for (const [key, value] of Object.entries(parsed)) {
    if (!KEY.test(key) || typeof value !== 'string') return null
    const bytes = Buffer.from(value, 'base64')
    if (bytes.toString('base64') !== value) return null
    data.set(key, bytes.toString('latin1'))
  }
  return data
}

function isObjectName(directory: string, name: string): boolean {
  try {
    objectPath(directory, name)
    return true
  } catch {
    return false
  }
}

/** The entries of a private directory; none if it is not there. */
function list(directory: string): readonly string[] {
  if (fs.lstatSync(directory, { throwIfNoEntry: false }) === undefined) return []
  ensurePrivateDirectory(directory)
  try {
    return fs.readdirSync(directory)
  } catch (error) {
    throw damaged(directory, `it cannot be read (${messageOf(error)})`, `Look at ${directory}.`)
  }
}

/** As in Kubernetes. */
const KEY = /^(?!\.{1,2}$)[-._a-zA-Z0-9]{1,253}$/
