/** Files that hold credentials: never shown to a sandbox, and hidden where they lie inside something that is. Pure. */
import { posix } from 'node:path'
import { type HostFiles, isWithin } from './host-files.ts'

/** Is `path` a place where programs keep credentials, by its name or by where it lies under `home`? */
export function isCredentialPath(path: string, home: string): boolean {
  if (CREDENTIAL_NAMES.some(pattern => pattern.test(posix.basename(path)))) return true
  return IN_HOME.some(place => isWithin(path, posix.join(home, place)))
}

/**
 * What to hide inside `shown` (absolute paths without links): known places under the home that one of them holds, and
 * files with a telling name at its top. Deeper down such names are usually public: `certifi/cacert.pem`.
 */
export function credentialFilesUnder(files: HostFiles, home: string, shown: readonly string[]): readonly string[] {
  const known = IN_HOME.map(place => posix.join(home, place))
    .filter(place => shown.some(path => isWithin(place, path)))
    .filter(place => files.kind(place) !== null)
  const named = shown
    .filter(path => files.kind(path) === 'directory')
    .flatMap(path => [...files.list(path), ...BELOW_A_PREFIX].map(name => posix.join(path, name)))
    .filter(path => isCredentialPath(path, home) && files.kind(path) !== null)
  return [...new Set([...known, ...named])].sort()
}

/** Below the home. A directory stands for all that it holds. */
const IN_HOME = [
  ...['.aws', '.azure', '.bundle', '.claude', '.claude.json', '.codex', '.docker', '.gemini', '.gnupg', '.kube'],
  ...['.cargo/credentials', '.cargo/credentials.toml', '.composer/auth.json', '.gem/credentials', '.m2/settings.xml'],
  ...[
    '.gradle/gradle.properties',
    '.local/share/keyrings',
    '.local/share/opencode/auth.json',
    '.local/share/uv/credentials',
  ],
  ...['gcloud', 'gh', 'git/credentials', 'github-copilot', 'hub', 'op', 'rclone', 'sops', 'stripe'].map(
    it => `.config/${it}`,
  ),
  ...[
    '.cache/huggingface',
    '.huggingface',
    '.mozilla',
    '.password-store',
    '.ssh',
    '.subversion',
    '.terraform.d',
    '.thunderbird',
  ],
  ...['.bash_history', '.python_history', '.zsh_history', '.gitconfig'],
]

const BELOW_A_PREFIX = ['etc/npmrc', 'etc/pip.conf']

const CREDENTIAL_NAMES = [
  /^\.env(\..+)?$/,
  /\.(pem|key|p12|pfx|jks|kdbx)$/i,
  /^id_(rsa|dsa|ecdsa|ed25519)(_sk)?$/,
  /^\.?(npmrc|netrc|pypirc|yarnrc|pgpass|s3cfg|boto|htpasswd|condarc)(\.yml)?$/,
  /^\.(git-credentials|vault-token|terraformrc|my\.cnf|dockercfg|pip\.conf)$/,
  /^(credentials|secrets?)(\.(json|toml|ya?ml|ini))?$/,
  /^(pip\.conf|auth\.json|service[-_]account.*\.json)$/,
]
