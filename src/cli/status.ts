/** `clrk status`: what the worker of a state directory hosts. */
import { connect } from '../api/client.ts'
import { parseArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { printable } from './render.ts'
import { stateDirectory } from './values.ts'

export const status: Command = {
  help: `clrk status [--json] [--state DIRECTORY]

  --json              one JSON object on one line
  --state DIRECTORY   the worker's state (default: CLRK_STATE, else ~/.clrk)
`,
  run: async argv => {
    const { options } = parseArguments(argv, { json: 'flag', state: 'value' })
    const client = await connect(stateDirectory(options.state, process.env))
    const { version, pid, state, shards, sandboxes } = await client.status()
    client.close()
    const lines = [
      `worker ${version}  pid ${pid}  state ${state}`,
      ...shards.map(
        ({ index, pid, sandboxes, restarts }) =>
          `shard ${index}  pid ${pid ?? '-'}  sandboxes ${sandboxes}  restarts ${restarts}`,
      ),
      ...sandboxes.map(({ id, agent, gateway }) => `sandbox ${id}  ${agent}  gateway ${gateway}`),
    ]
    const text = options.json
      ? JSON.stringify({ version, pid, state, shards, sandboxes })
      : lines.map(printable).join('\n')
    process.stdout.write(`${text}\n`)
    return 0
  },
}
