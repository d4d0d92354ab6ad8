import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePolicy } from '../../src/policy/compile.ts'
import { CREDENTIAL_VARIABLES } from '../../src/providers/registry.ts'
import { loadResources } from '../../src/resources/load.ts'
import { inheritedVariables, sandboxEnvironment } from '../../src/worker/surroundings.ts'
import { MANIFESTS } from './fixtures.ts'

const { resources } = loadResources([{ path: 'a.yaml', text: MANIFESTS }])
const policy = compilePolicy(resources, 'default/g', 1)

function environment(caller: Record<string, string>, own: Record<string, string> = {}) {
  return sandboxEnvironment({
    caller,
    path: '/usr/bin',
    home: '/root',
    trust: { SSL_CERT_FILE: '/run/b' },
    policy,
    own,
  })
}

test('no credential variable of the caller ever enters, whatever it is called (T123)', () => {
  const keys = [...CREDENTIAL_VARIABLES, 'GITHUB_TOKEN', 'AWS_PROFILE', 'SSH_AUTH_SOCK', 'MY_SECRET', 'HTTPS_PROXY']
  const caller = Object.fromEntries(keys.map(name => [name, 'canary']))
  assert.doesNotMatch(JSON.stringify(environment(caller)), /canary/)
  assert.deepEqual(inheritedVariables(caller), {})
})

test('the placeholder stands in the variables of the injected provider, and of no other', () => {
  const made = environment({})
  assert.equal(made.ANTHROPIC_API_KEY, 'clrk-injected-by-proxy')
  assert.equal(made.OPENAI_API_KEY, undefined)
})

test('locale, terminal and tool homes are the caller’s, the agent’s own variables win', () => {
  const made = environment(
    { LC_ALL: 'de_DE.UTF-8', TERM: 'xterm', PYENV_ROOT: '/root/.pyenv' },
    { TERM: 'dumb', A: 'b' },
  )
  const { LC_ALL, TERM, PYENV_ROOT, A, HOME, PATH, USER } = made
  assert.deepEqual(
    { LC_ALL, TERM, PYENV_ROOT, A, HOME, PATH, USER },
    {
      LC_ALL: 'de_DE.UTF-8',
      TERM: 'dumb',
      PYENV_ROOT: '/root/.pyenv',
      A: 'b',
      HOME: '/root',
      PATH: '/usr/bin',
      USER: 'agent',
    },
  )
})
