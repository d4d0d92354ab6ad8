/** Can this machine run each runtime? Every probe with what it is for, and the verdict. */
import { release } from 'node:os'
import { type Probe, probeKernel } from '../kernel/probes.ts'
import { probeEngine, probePrograms } from './probes-docker.ts'
import {
  failedProbe,
  probeMountNamespace,
  probeRedirect,
  probeRoot,
  probeRoots,
  probeSeccomp,
  probeShard,
  probeState,
  probeTool,
} from './probes-host.ts'
import { probeCgroup, probeSandbox, probeWorkspace } from './probes-local.ts'

export const RUNTIMES = ['local', 'docker'] as const
export type Runtime = (typeof RUNTIMES)[number]

export type Finding = {
  readonly name: string
  readonly runtimes: readonly Runtime[]
  /** Without it those runtimes cannot run; otherwise it is advice. */
  readonly required: boolean
  readonly probe: Probe
}

/** `yes`: all that it needs is there. `could not tell`: nothing is known to be missing. */
export type Verdict = { readonly answer: Probe['answer']; readonly because: readonly string[] }

/** Tries everything, in an order in which causes come before effects. Never rejects; nothing of it stays. */
export async function diagnose(options: {
  readonly state: string
  readonly directory: string
  readonly dockerHost: string | null
  readonly runtimes: readonly Runtime[]
}): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const { name, runtimes, required, probe } of checks(options)) {
    if (!runtimes.some(runtime => options.runtimes.includes(runtime))) continue
    // One after the other: they use the same few processors, and a failure should be its own.
    findings.push({ name, runtimes, required, probe: await attempt(probe) })
  }
  return findings
}

/** Pure. */
export function verdictOf(findings: readonly Finding[], runtime: Runtime): Verdict {
  const open = findings.filter(it => it.required && it.runtimes.includes(runtime) && it.probe.answer !== 'yes')
  const missing = open.filter(({ probe }) => probe.answer === 'no')
  const decisive = missing.length > 0 ? missing : open
  return { answer: decisive[0]?.probe.answer ?? 'yes', because: decisive.map(({ name }) => name) }
}

type Check = Omit<Finding, 'probe'> & { readonly probe: () => Probe | Promise<Probe> }

function checks(options: { state: string; directory: string; dockerHost: string | null }): readonly Check[] {
  const check = (runtimes: readonly Runtime[], name: string, probe: Check['probe'], required = true): Check => ({
    ...{ name, runtimes, required, probe },
  })
  const [both, local, docker] = [RUNTIMES, ['local'], ['docker']] as const
  return [
    check(both, 'root', probeRoot),
    check(both, 'kernel', () => probeKernel(release())),
    check(both, 'ip', () => probeTool('ip', 'iproute2')),
    check(both, 'nft', probeRedirect),
    check(both, 'unshare', probeMountNamespace),
    // The worker looks for these two when it starts, before it knows whether images are all that it will boot.
    check(both, 'nsenter', () => probeTool('nsenter', 'util-linux')),
    check(both, 'libseccomp', probeSeccomp),
    check(both, 'setpriv', () => probeTool('setpriv', 'util-linux')),
    check(both, 'bwrap', probeShard),
    check(both, 'state', () => probeState(options.state)),
    check(both, 'roots', probeRoots, false),
    check(local, 'sandbox', probeSandbox),
    check(local, 'cgroups', probeCgroup),
    check(local, 'workspace', () => probeWorkspace(options.directory), false),
    check(docker, 'engine', () => probeEngine(options.dockerHost)),
    check(docker, 'programs', probePrograms),
  ]
}

async function attempt(probe: Check['probe']): Promise<Probe> {
  try {
    return await probe()
  } catch (error) {
    return failedProbe(error)
  }
}
