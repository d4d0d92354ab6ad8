/**
 * Fuzzes the targets of this folder: every `*.ts` here but this file and tests, each a `target`.
 *
 *   npm run fuzz -- [NAME…] [--seconds N] [--seed N]     N seconds of CPU a target; 24 minutes over all unless said
 *   npm run fuzz -- NAME --repro FILE
 *
 * Each target runs in a process of its own, as many at once as there are cores. The generator is seeded; an input that
 * makes a target throw is left in the OS's directory for temporary files, and the exit code is 1.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** `run` throws, or asserts, on what it must not do; refusing an input is no failure. */
export type FuzzTarget = {
  readonly name: string
  readonly seeds: readonly Buffer[]
  readonly maximumBytes: number
  /** Inputs of the short run among the tests, where 2000 would take long. */
  readonly shortInputs?: number
  readonly run: (bytes: Buffer) => void | Promise<void>
}

/** The targets of this folder, in the order of their file names. Throws on a file that exports none. */
export async function findTargets(): Promise<readonly FuzzTarget[]> {
  const files = readdirSync(import.meta.dirname).filter(
    file => file.endsWith('.ts') && !file.endsWith('.test.ts') && file !== 'run.ts',
  )
  const targets: FuzzTarget[] = []
  for (const file of files.sort()) {
    const module = (await import(join(import.meta.dirname, file))) as { target?: FuzzTarget }
    if (module.target === undefined) throw new Error(`test/fuzz/${file} exports no target`)
    targets.push(module.target)
  }
  return targets
}

/** Runs `target` on its seeds, then on `iterations` mutations of them. Rejects, with the file that replays it. */
export async function fuzz(target: FuzzTarget, iterations: number, seed: number): Promise<void> {
  const random = generator(seed)
  for (const bytes of target.seeds) await attempt(target, bytes)
  for (let count = 0; count < iterations; count++) await attempt(target, mutate(target, random))
}

async function attempt(target: FuzzTarget, bytes: Buffer): Promise<void> {
  try {
    await target.run(Buffer.from(bytes))
  } catch (error) {
    const file = join(mkdtempSync(join(tmpdir(), 'clrk-fuzz-')), `${target.name}.bin`)
    writeFileSync(file, bytes)
    throw new Error(`fuzz target ${target.name}: node test/fuzz/run.ts ${target.name} --repro ${file}`, {
      cause: error,
    })
  }
}

type Random = (below: number) => number

/** Mulberry32: small, and the same on every machine. */
function generator(seed: number): Random {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % Math.max(1, below)
  }
}

function mutate({ seeds, maximumBytes }: FuzzTarget, random: Random): Buffer {
  const pick = () => seeds[random(seeds.length)] ?? Buffer.alloc(0)
  let bytes = Buffer.from(pick())
  for (let left = 1 + random(4); left > 0; left--) {
    const at = random(bytes.length + 1)
    const end = at + random(Math.min(16, bytes.length - at) + 1)
    const kind = random(6)
    if (kind === 0) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
    else if (kind === 2)
      bytes = Buffer.concat([bytes.subarray(0, at), pick().subarray(random(32)), bytes.subarray(end)])
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), noise(random), bytes.subarray(at)])
    else if (bytes.length > 0) bytes[at % bytes.length] = kind === 4 ? random(256) : (bytes[random(bytes.length)] ?? 0)
  }
  return bytes.subarray(0, maximumBytes)
}

/** What parsers trip over. */
const TOKENS = [
  '\r\n',
  '\n',
  '\0',
  ' ',
  ':',
  '::',
  '.',
  '..',
  '/',
  '%2e',
  '*',
  '&',
  '[',
  '{',
  '"',
  '0x',
  '__proto__',
  'ﬀ',
  '。',
]

function noise(random: Random): Buffer {
  return random(2) === 0
    ? Buffer.from(TOKENS[random(TOKENS.length)] ?? '')
    : Buffer.from(Array.from({ length: 1 + random(8) }, () => random(256)))
}

/** Runs one target for `seconds` of this process's CPU; each thousand inputs have a seed of their own. */
async function fuzzFor(target: FuzzTarget, seconds: number, firstSeed: number): Promise<void> {
  let seed = firstSeed
  const ended = () => process.cpuUsage().user >= seconds * 1e6
  do await fuzz(target, INPUTS_A_SEED, seed++)
  while (!ended())
  const inputs = (seed - firstSeed) * INPUTS_A_SEED
  process.stdout.write(`${target.name}: no finding in ${inputs} inputs, seeds ${firstSeed} to ${seed - 1}\n`)
}

/** The same in a process of its own; false: there was a finding. */
async function fuzzApart({ name }: FuzzTarget, seconds: number, seed: number): Promise<boolean> {
  const own = [import.meta.filename, name, '--seconds', String(seconds), '--seed', String(seed)]
  const child = spawn(process.execPath, own, { stdio: 'inherit' })
  const timer = setTimeout(() => child.kill('SIGKILL'), 1000 * (PATIENCE * seconds + 60))
  const [code] = (await once(child, 'exit')) as [number | null]
  clearTimeout(timer)
  if (code === null)
    process.stderr.write(`${name}: it did not come to an end; an input from seed ${seed} on hangs it\n`)
  return code === 0
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { repro: { type: 'string' }, seconds: { type: 'string' }, seed: { type: 'string' } },
  })
  const targets = (await findTargets()).filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const [first, ...others] = targets
  if (first === undefined) throw new Error(`there is no fuzz target ${positionals.join(', ')}`)
  if (values.repro !== undefined) return first.run(readFileSync(values.repro))
  const seconds = Number(values.seconds ?? DEFAULT_CPU_SECONDS / targets.length)
  const seed = Number(values.seed ?? Date.now() % 2 ** 32)
  if (others.length === 0) return fuzzFor(first, seconds, seed)
  process.stdout.write(`${targets.length} targets, ${Math.round(seconds)} s of CPU each, seed ${seed}\n`)
  const waiting = [...targets]
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (!(await fuzzApart(next, seconds, seed))) process.exitCode = 1
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
}

const DEFAULT_CPU_SECONDS = 24 * 60
const INPUTS_A_SEED = 1_000
/** How much longer than its CPU a target may take on a busy machine. */
const PATIENCE = 20

if (import.meta.main) await main()
