/** Credentials for a registry out of Docker's config.json (docs.docker.com/reference/cli/docker/login). */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { AuthConfig } from 'dockerode'
import { clrkError } from '../errors.ts'
import { TOOL_PATH } from '../plumbing/tool-path.ts'

/**
 * What the file at `config` says for the registry of an image; null where it says nothing, or there is none. A helper
 * that it names is run (`docker-credential-NAME get`). Rejects with CLRK_IMAGE_UNAVAILABLE, never with a credential.
 */
export async function registryCredentials(reference: string, config: string | null): Promise<AuthConfig | null> {
  const settings = config === null ? null : readSettings(reference, config)
  if (settings === null) return null
  const registry = registryOf(reference)
  const helper = settings.credHelpers?.[registry] ?? settings.credsStore
  if (helper !== undefined) return askHelper(reference, helper, registry)
  const found = Object.entries(settings.auths ?? {}).find(([key]) => hostOf(key) === hostOf(registry))?.[1]
  if (found === undefined) return null
  if (found.identitytoken) return { username: '', password: '', serveraddress: registry, ...token(found.identitytoken) }
  const text = Buffer.from(found.auth ?? '', 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 0) return null
  return { username: text.slice(0, colon), password: text.slice(colon + 1), serveraddress: registry }
}

/** Docker Hub goes by its oldest address in every config. */
export function registryOf(reference: string): string {
  const [first = '', rest] = reference.split('/', 2)
  return rest !== undefined && /[.:]|^localhost$/.test(first) ? first : 'https://index.docker.io/v1/'
}

type Settings = {
  readonly auths?: Readonly<Record<string, { readonly auth?: string; readonly identitytoken?: string }>>
  readonly credHelpers?: Readonly<Record<string, string>>
  readonly credsStore?: string
}

function readSettings(reference: string, config: string): Settings | null {
  let text: string
  try {
    text = readFileSync(config, 'utf8')
  } catch {
    return null
  }
  try {
    return JSON.parse(text)
  } catch {
    throw failure(reference, `${config} is not JSON`) // without the parser's words: they quote the file
  }
}

function askHelper(reference: string, helper: string, registry: string): Promise<AuthConfig | null> {
  const program = `docker-credential-${helper}`
  if (!/^[\w.-]+$/.test(helper)) throw failure(reference, 'the credential helper in its config is not a name')
  return new Promise((resolve, reject) => {
    const env = { PATH: `${process.env.PATH ?? ''}:${TOOL_PATH}`, HOME: process.env.HOME ?? '/root' }
    const child = execFile(program, ['get'], { env, timeout: 30_000 }, (error, stdout) => {
      if (error !== null) {
        // «credentials not found» is an answer; its own words may hold anything, so they are not repeated
        if (/credentials not found/i.test(stdout)) resolve(null)
        else reject(failure(reference, `${program} failed`))
        return
      }
      try {
        const { Username, Secret }: { readonly Username: string; readonly Secret: string } = JSON.parse(stdout)
        const isToken = Username === '<token>'
        const plain = { username: isToken ? '' : Username, password: isToken ? '' : Secret, serveraddress: registry }
        resolve(isToken ? { ...plain, ...token(Secret) } : plain)
      } catch {
        reject(failure(reference, `${program} gave no credentials`))
      }
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end(registry)
  })
}

/** dockerode's type does not know it; the engine does. */
function token(identitytoken: string): object {
  return { identitytoken }
}

function hostOf(registry: string): string {
  return registry.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
}

function failure(image: string, reason: string) {
  return clrkError('CLRK_IMAGE_UNAVAILABLE', { image, reason, fix: 'Log in again: docker login' })
}
