/** `clrk doctor`: can this machine run each runtime, what is missing, and the command that mends it. */
import type { Probe } from '../kernel/probes.ts'
import { diagnose, type Finding, RUNTIMES, type Runtime, type Verdict, verdictOf } from '../worker/diagnose.ts'
import { parseArguments, usageError } from './arguments.ts'
import type { Command } from './command.ts'
import { printable } from './render.ts'
import { stateDirectory } from './values.ts'

export const doctor: Command = {
  help: `clrk doctor [--runtime local|docker] [--json] [--state DIRECTORY]

Tries what sandboxes need and leaves nothing of it. A line each: ok, missing or unknown, and what mends it; the last
lines say which runtimes can run. Without root much stays unknown, and what is unknown does not count as there.

  --runtime local|docker   look at this one only
  --json                   one JSON object on one line
  --state DIRECTORY        the worker's state (default: CLRK_STATE, else ~/.clrk)

Exit status: 0 both can run, 10 local only, 11 docker only, 1 neither; with --runtime 0 it can, 1 it cannot.
`,
  run: async argv => {
    const { options } = parseArguments(argv, { json: 'flag', runtime: 'value', state: 'value' })
    const runtimes = runtimesOf(options.runtime)
    const findings = await diagnose({
      state: stateDirectory(options.state, process.env),
      directory: process.cwd(),
      dockerHost: process.env.DOCKER_HOST ?? null,
      runtimes,
    })
    const verdicts = runtimes.map(runtime => ({ runtime, verdict: verdictOf(findings, runtime) }))
    const lines = [
      ...findings.map(findingLine),
      ...verdicts.map(({ runtime, verdict }) => verdictLine(runtime, verdict)),
    ]
    process.stdout.write(options.json ? `${json(findings, verdicts)}\n` : `${lines.map(printable).join('\n')}\n`)
    return statusOf(verdicts)
  },
}

type Verdicts = readonly { readonly runtime: Runtime; readonly verdict: Verdict }[]

function runtimesOf(option: string | null): readonly Runtime[] {
  if (option === null) return RUNTIMES
  const known = RUNTIMES.find(name => name === option)
  if (known === undefined) throw usageError(`--runtime ${option}`, 'there is no such runtime', 'Use local or docker.')
  return [known]
}

function findingLine({ name, required, probe }: Finding): string {
  const advice = required || probe.answer === 'yes' ? '' : ' (it runs without)'
  const needs = 'needs' in probe ? `. ${probe.needs}` : ''
  return `${WORDS[probe.answer].padEnd(8)} ${name.padEnd(10)} ${probe.found}${advice}${needs}`
}

function verdictLine(runtime: Runtime, { answer, because }: Verdict): string {
  const reasons = because.length === 0 ? '' : ` (${because.join(', ')})`
  return `runtime ${runtime}: ${SENTENCES[answer]}${reasons}`
}

function json(findings: readonly Finding[], verdicts: Verdicts): string {
  return JSON.stringify({
    checks: findings.map(({ name, runtimes, required, probe }) => ({
      ...{ name, runtimes, required, state: WORDS[probe.answer], found: probe.found },
      needs: 'needs' in probe ? probe.needs : null,
    })),
    runtimes: Object.fromEntries(
      verdicts.map(({ runtime, verdict }) => [runtime, { state: WORDS[verdict.answer], because: verdict.because }]),
    ),
  })
}

function statusOf(verdicts: Verdicts): number {
  const able = verdicts.filter(({ verdict }) => verdict.answer === 'yes').map(({ runtime }) => runtime)
  if (able.length === verdicts.length) return 0
  const [only] = able
  return only === undefined ? 1 : { local: 10, docker: 11 }[only]
}

const WORDS: Readonly<Record<Probe['answer'], string>> = { yes: 'ok', no: 'missing', 'could not tell': 'unknown' }
const SENTENCES: Readonly<Record<Probe['answer'], string>> = {
  yes: 'can run',
  no: 'cannot run',
  'could not tell': 'could not tell',
}
