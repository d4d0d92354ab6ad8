/** `clrk secret set`: new key material for a worker; the next request uses it. */
import { readFileSync } from 'node:fs'
import { parseArguments, usageError } from './arguments.ts'
import type { Command } from './command.ts'
import { fromVariable, latin1, stateDirectory } from './values.ts'
import { joinWorker, requireRoot } from './worker-process.ts'

export const secret: Command = {
  help: `clrk secret set NAME [--from-literal KEY=VALUE] [--from-file KEY=PATH] [--from-env KEY=VARIABLE] …

Sets keys of the Secret NAME; other keys of it stay. It is kept in the state directory, readable by root only. Running
agents use the new value from their next request on. A literal is visible to whoever may list processes.

  --from-literal KEY=VALUE    the value itself
  --from-file KEY=PATH        the bytes of a file, less one newline at the end
  --from-env KEY=VARIABLE     the value of a variable of this shell
  -n, --namespace NAMESPACE   the Secret's namespace (default: default)
  --state DIRECTORY           the worker's state (default: CLRK_STATE, else ~/.clrk)
`,
  run: async argv => {
    const { name, data, state } = parseSecretSet(argv, process.env)
    requireRoot()
    const client = await joinWorker(state)
    const { keys } = await client.setSecret({ name, data, persist: true })
    client.close()
    process.stdout.write(`secret ${name} has ${keys.join(', ')}\n`)
    return 0
  },
}

/** What `secret set …` says, its values read; nothing of a value is in an error. */
export function parseSecretSet(argv: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
  const { options, positionals } = parseArguments(
    argv,
    { 'from-literal': 'values', 'from-file': 'values', 'from-env': 'values', namespace: 'value', state: 'value' },
    { short: { n: 'namespace' }, maximum: 2 },
  )
  const [verb, name] = positionals
  if (verb !== 'set' || name === undefined) {
    throw usageError(
      'clrk secret',
      'a verb and a name are missing',
      'Write clrk secret set NAME --from-env KEY=VARIABLE.',
    )
  }
  if (options.namespace !== null && name.includes('/')) {
    throw usageError(`--namespace ${options.namespace}`, `${name} names a namespace already`, 'Leave one of them out.')
  }
  const pairs = [
    ...options['from-literal'].map(pair => read('--from-literal', pair, value => latin1(value))),
    ...options['from-file'].map(pair => read('--from-file', pair, readBytes)),
    ...options['from-env'].map(pair =>
      read('--from-env', pair, (variable, key) => fromVariable(`--from-env ${key}`, variable, environment)),
    ),
  ]
  if (pairs.length === 0) throw usageError(`secret ${name}`, 'no key is given', 'Add --from-env KEY=VARIABLE.')
  return {
    name: options.namespace === null ? name : `${options.namespace}/${name}`,
    data: Object.fromEntries(pairs),
    state: stateDirectory(options.state, environment),
  }
}

function read(option: string, pair: string, toValue: (text: string, key: string) => string): [string, string] {
  const at = pair.indexOf('=')
  const key = pair.slice(0, at)
  if (at < 1 || !/^[-._a-zA-Z0-9]+$/.test(key)) throw usageError(option, 'it is not KEY=…', `Write ${option} KEY=….`)
  return [key, toValue(pair.slice(at + 1), key)]
}

function readBytes(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw usageError(`--from-file ${path}`, `it cannot be read (${code})`, 'Check the path.')
  }
}
