/** `clrk image check`: what an image lacks for an agent, and the lines of its Dockerfile that mend it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectEngine } from '../runtimes/docker-connect.ts'
import { findingsOf, type ImageFinding } from '../runtimes/image-findings.ts'
import { type ImageSurvey, surveyImage } from '../runtimes/image-survey.ts'
import { dockerConfig } from '../worker/boot-image.ts'
import { stateIdOf } from '../worker/state.ts'
import { parseArguments, usageError } from './arguments.ts'
import type { Command } from './command.ts'
import { printable } from './render.ts'
import { stateDirectory } from './values.ts'

export const image: Command = {
  help: `clrk image check IMAGE [--json] [--state DIRECTORY]

Reads the image by the engine's archive API (pulling it if it is not there) and runs nothing of it. A line each: ok,
advice or change, and below it what to write in the Dockerfile; lines with RUN belong before its last USER.

  --json              one JSON object on one line
  --state DIRECTORY   whose containers this counts to (default: CLRK_STATE, else ~/.clrk)

Exit status: 0 fine, perhaps with advice, 1 something must change.
`,
  run: async argv => {
    const { options, positionals } = parseArguments(argv, { json: 'flag', state: 'value' }, { maximum: 2 })
    const [what, reference] = positionals
    if (what !== 'check') throw usageError(`image ${what ?? ''}`.trim(), 'there is no such command', USE)
    if (reference === undefined) throw usageError('image check', 'the image is missing', USE)
    const survey = await readImage(reference, stateDirectory(options.state, process.env))
    const findings = findingsOf(survey)
    const text = options.json ? json(survey, findings) : readable(reference, findings)
    process.stdout.write(`${text}\n`)
    return mustChange(findings) === 0 ? 0 : 1
  },
}

async function readImage(reference: string, state: string): Promise<ImageSurvey> {
  const directory = mkdtempSync(join(tmpdir(), 'clrk-image-'))
  try {
    const runtime = await connectEngine({
      host: process.env.DOCKER_HOST ?? null,
      stateId: stateIdOf(state), // what a crash leaves is removed by the next worker with that state
      state,
      directory,
      dockerConfig: dockerConfig(),
    })
    const facts = await runtime.image(reference, line => process.stderr.write(`${printable(line)}\n`))
    return await surveyImage(runtime, facts)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function readable(reference: string, findings: readonly ImageFinding[]): string {
  const lines = findings.flatMap(({ verdict, subject, sentence, dockerfile }) => [
    `${verdict.padEnd(6)} ${subject.padEnd(7)} ${sentence}`,
    ...dockerfile.map(line => `               ${line}`),
  ])
  const count = mustChange(findings)
  const verdict = count === 0 ? 'an agent can run in it' : `${count} must change`
  return [...lines, `image ${reference}: ${verdict}`].map(printable).join('\n')
}

function json({ facts, layers, distribution, tools, libc }: ImageSurvey, findings: readonly ImageFinding[]): string {
  const { reference, id } = facts
  return JSON.stringify({
    image: reference,
    id,
    fine: mustChange(findings) === 0,
    findings,
    distribution,
    libc,
    tools,
    layers,
  })
}

function mustChange(findings: readonly ImageFinding[]): number {
  return findings.filter(({ verdict }) => verdict === 'change').length
}

const USE = 'Write clrk image check IMAGE.'
