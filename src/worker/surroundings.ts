/**
 * What of the caller's surroundings a local sandbox gets: an allow-list of variables, never a credential. A key in the
 * caller's shell must not be one `env` away (T123).
 */

import type { Policy } from '../policy/policy.ts'
import { PLACEHOLDER } from '../providers/provider.ts'
import { providerById } from '../providers/registry.ts'

/** Variables that describe the terminal, the locale and where tools lie; none of them carries a secret. */
const INHERITED: ReadonlySet<string> = new Set([
  'TERM',
  'COLORTERM',
  'NO_COLOR',
  'FORCE_COLOR',
  'LANG',
  'LANGUAGE',
  'TZ',
  'EDITOR',
  'VISUAL',
  'PAGER',
  'CI',
  'PYENV_ROOT',
  'PYENV_VERSION',
  'NVM_DIR',
  'RUSTUP_HOME',
  'RUSTUP_TOOLCHAIN',
  'GOROOT',
  'GOTOOLCHAIN',
  'JAVA_HOME',
  'VOLTA_HOME',
  'BUN_INSTALL',
  'PNPM_HOME',
  'DENO_INSTALL',
])

/** What of an environment may leave the caller's process at all: the allow-list, and where its tools and home lie. */
export function inheritedVariables(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment)) {
    const allowed = INHERITED.has(name) || name === 'PATH' || name === 'HOME' || /^LC_[A-Z]+$/.test(name)
    if (allowed && value !== undefined) kept[name] = value
  }
  return kept
}

/**
 * The environment of an agent: inherited variables, then ours, then trust, then placeholders for every provider that
 * `policy` injects for, then the agent's own `env`.
 */
export function sandboxEnvironment(options: {
  readonly caller: Readonly<Record<string, string>>
  readonly path: string
  readonly home: string
  readonly trust: Readonly<Record<string, string>>
  readonly policy: Policy
  readonly own: Readonly<Record<string, string>>
}): Readonly<Record<string, string>> {
  const { caller, path, home, trust, policy, own } = options
  return {
    ...inheritedVariables(caller),
    PATH: path,
    HOME: home,
    USER: 'agent',
    LOGNAME: 'agent',
    SHELL: '/bin/sh',
    TMPDIR: '/tmp',
    ...trust,
    ...placeholders(policy),
    ...own,
  }
}

/** What an agent in an image gets over the image's own variables: the terminal's kind, placeholders, its own `env`. */
export function agentEnvironment(
  caller: Readonly<Record<string, string>>,
  policy: Policy,
  own: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const terminal = Object.entries(caller).filter(([name]) => ['TERM', 'COLORTERM', 'LANG'].includes(name))
  return { ...Object.fromEntries(terminal), ...placeholders(policy), ...own }
}

/** Every variable in which a client of an injected provider looks for a key → the placeholder. */
function placeholders(policy: Policy): Record<string, string> {
  const variables = policy.providerRules
    .filter(rule => rule.credentials.length > 0)
    .flatMap(rule => providerById(rule.provider)?.environment ?? [])
  return Object.fromEntries(variables.map(name => [name, PLACEHOLDER]))
}
