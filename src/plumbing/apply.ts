/** Applies a plumbing plan to a namespace and proves it by a connection: small steps that decide nothing. */
import { type ChildProcess, spawn } from 'node:child_process'
import { clrkError, messageOf } from '../errors.ts'
import { connectNowhere, insideNetworkNamespace, takeConnection } from '../kernel/syscalls.ts'
import type { Step } from './plan.ts'
import { TOOL_PATH } from './tool-path.ts'

const PACKAGES: Readonly<Record<string, string>> = { ip: 'iproute2', nft: 'nftables' }

/**
 * Runs the steps at once inside `netns`: none needs another's result. Throws CLRK_TOOL_MISSING or CLRK_PLUMBING_FAILED
 * with the program's own words, when all have ended.
 */
export async function applyPlumbing(netns: number, steps: readonly Step[]): Promise<void> {
  const results = await Promise.allSettled(steps.map(step => runStep(netns, step)))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** What a program that only looks prints inside `netns`. Rejects as `applyPlumbing`. */
export function readInside(netns: number, argv: Step['argv']): Promise<string> {
  return runStep(netns, { argv, stdin: '' })
}

function runStep(netns: number, { argv: [program, ...args], stdin }: Step): Promise<string> {
  return new Promise((resolve, reject) => {
    // fork happens inside spawn(), so the child is in the namespace and this thread is back before it returns
    const child: ChildProcess = insideNetworkNamespace(netns, () =>
      spawn(program, args, { stdio: 'pipe', env: { PATH: TOOL_PATH } }),
    )
    let stdout = ''
    let stderr = ''
    child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk))
    child.stderr?.on('data', (chunk: Buffer) => {
      if (stderr.length < 4096) stderr += chunk
    })
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT' || error.code === 'EACCES'
      reject(
        missing
          ? clrkError('CLRK_TOOL_MISSING', { tool: program, path: TOOL_PATH, package: PACKAGES[program] ?? program })
          : clrkError('CLRK_PLUMBING_FAILED', { step: program, reason: messageOf(error) }),
      )
    })
    child.on('close', code => {
      if (code === 0) resolve(stdout)
      else reject(clrkError('CLRK_PLUMBING_FAILED', { step: program, reason: stderr.trim() || `exit status ${code}` }))
    })
    child.stdin?.on('error', () => {}) // a program that ends early says why on stderr
    child.stdin?.end(stdin)
  })
}

/**
 * Connects through the namespace in both families to an address that is nowhere and takes the connection off
 * `listener`, with that address as its original destination. Run before a shard accepts; connections of an agent that
 * is there already are reset. Throws CLRK_PLUMBING_FAILED.
 */
export function proveRedirect(netns: number, listener: number): void {
  for (const family of [4, 6] as const) {
    try {
      connectThrough(netns, family)
      if (!takeWaiting(listener).includes(NOWHERE[family])) throw new Error('the destination was lost')
    } catch (error) {
      const reason = `IPv${family} is not redirected: ${messageOf(error)}`
      throw clrkError('CLRK_PLUMBING_FAILED', { step: 'self-test', reason })
    }
  }
}

/** A connect() with a time limit is not restarted after a signal (signal(7)), and a child may end at any moment. */
function connectThrough(netns: number, family: 4 | 6): void {
  for (let attempt = 1; ; attempt++) {
    try {
      return insideNetworkNamespace(netns, () => connectNowhere(family))
    } catch (error) {
      if (codeOf(error) !== 'EINTR' || attempt === ATTEMPTS) throw error
    }
  }
}

/** Where all that waits was going. What interrupted attempts left is among it: a shard must not take it for the agent's. */
function takeWaiting(listener: number): readonly string[] {
  const taken: string[] = []
  // Bounded, because an agent that is there may go on connecting.
  while (taken.length < WAITING) {
    try {
      const going = takeConnection(listener)
      taken.push(going === null ? 'unknown' : `${going.address} ${going.port}`)
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') break
      throw error
    }
  }
  return taken
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : null
}

const ATTEMPTS = 100
/** As `connectNowhere` dials and `takeConnection` spells them. */
const NOWHERE = { 4: '192.0.2.1 443', 6: '2001:db8:0:0:0:0:0:1 443' } as const
/** The backlog of the listening sockets, twice. */
const WAITING = 8_192
