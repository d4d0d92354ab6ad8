/** Applies a plumbing plan to a namespace and proves it by a connection: small steps that decide nothing. */
import { type ChildProcess, spawn } from 'node:child_process'
import { clrkError, messageOf } from '../errors.ts'
import { connectNowhere, insideNetworkNamespace, takeConnection } from '../kernel/syscalls.ts'
import type { Step } from './plan.ts'

/** Debian keeps nft and ip in /usr/sbin, which a user's PATH may lack. */
export const TOOL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const PACKAGES: Readonly<Record<string, string>> = { ip: 'iproute2', nft: 'nftables' }

/**
 * Runs the steps in order inside `netns`, stops at the first that fails.
 * Throws CLRK_TOOL_MISSING or CLRK_PLUMBING_FAILED with the program's own words.
 */
export async function applyPlumbing(netns: number, steps: readonly Step[]): Promise<void> {
  for (const step of steps) await runStep(netns, step)
}

function runStep(netns: number, { argv: [program, ...args], stdin }: Step): Promise<void> {
  return new Promise((resolve, reject) => {
    // fork happens inside spawn(), so the child is in the namespace and this thread is back before it returns
    const child: ChildProcess = insideNetworkNamespace(netns, () =>
      spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'], env: { PATH: TOOL_PATH } }),
    )
    let stderr = ''
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
      if (code === 0) resolve()
      else reject(clrkError('CLRK_PLUMBING_FAILED', { step: program, reason: stderr.trim() || `exit status ${code}` }))
    })
    child.stdin?.on('error', () => {}) // a program that ends early says why on stderr
    child.stdin?.end(stdin)
  })
}

/**
 * Connects through the namespace in both families to an address that is nowhere and takes the connection off
 * `listener`, with that address as its original destination. Run before the agent exists and before a shard accepts.
 * Throws CLRK_PLUMBING_FAILED.
 */
export function proveRedirect(netns: number, listener: number): void {
  for (const family of [4, 6] as const) {
    try {
      connectThrough(netns, family)
      if (takeConnection(listener)?.port !== 443) throw new Error('the destination was lost')
      dropWaiting(listener)
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

/** Connections of interrupted attempts: a shard must not take them for the agent's. */
function dropWaiting(listener: number): void {
  for (;;) {
    try {
      takeConnection(listener)
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') return
      throw error
    }
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : null
}

const ATTEMPTS = 100
