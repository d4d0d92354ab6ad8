/** The command line: finds the command, and turns whatever it throws into one clear line and an exit status. */
import { describe, isClrkError, messageOf } from '../errors.ts'
import { nearest, usageError } from './arguments.ts'
import type { Command } from './command.ts'
import { printable } from './render.ts'
import { version } from './version.ts'

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  dev: async () => (await import('./dev.ts')).dev,
  doctor: async () => (await import('./doctor.ts')).doctor,
  image: async () => (await import('./image.ts')).image,
  run: async () => (await import('./run.ts')).run,
  secret: async () => (await import('./secret.ts')).secret,
  status: async () => (await import('./status.ts')).status,
}

const HELP = `clrk runs any agent unmodified, in a sandbox that holds no keys and reaches only what its owner allows.

  clrk dev [DIRECTORY]     start a worker with these manifests and its agents, and show what they do
  clrk run -- COMMAND…     run a program in a sandbox of its own
  clrk secret set NAME …   set or rotate a secret of the running worker
  clrk status              what the running worker hosts
  clrk doctor              what this machine lacks for each runtime
  clrk image check IMAGE   what an image lacks for an agent
  clrk COMMAND --help      the options of a command
  clrk --version

Root is needed. State is in ~/.clrk, or where --state DIRECTORY or CLRK_STATE says.
Exit status: that of the command that ran, else 0, 1 for a failure, 2 for a wrong command line.
`

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === '--version' || name === '-V') return print(`${version()}\n`)
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') return print(HELP)
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load === undefined) {
    const guess = nearest(name, Object.keys(COMMANDS))
    throw usageError(
      name,
      'there is no such command',
      guess === null ? 'See clrk --help.' : `Did you mean clrk ${guess}?`,
    )
  }
  const command = await load()
  const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
  if (own.includes('--help') || own.includes('-h')) return print(command.help)
  return command.run(rest)
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

process.stdout.on('error', () => {}) // whoever read our output has gone: nothing to tell them
try {
  process.exit(await main(process.argv.slice(2)))
} catch (error) {
  process.stderr.write(`clrk: ${printable(lineOf(error))}\n`)
  process.exit(isClrkError(error) && error.fault.code === 'CLRK_ARGUMENT_INVALID' ? 2 : 1)
}

/** What went wrong and what to do, on one line. */
function lineOf(error: unknown): string {
  if (!isClrkError(error)) return `${messageOf(error)} (a bug: please report it)`
  const { title, why, fix } = describe(error.fault)
  return `${title}: ${why.replace(/\.?$/, '.')} ${fix}`.replace(/\s+/g, ' ').trim()
}
