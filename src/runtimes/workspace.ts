/**
 * A host directory that is writable inside: an ID-mapped mount, so that on disk everything belongs to the directory's
 * owner and inside to the agent. It is opened once; nothing after that follows a path that somebody could swap.
 */
import { closeSync, constants, fstatSync, openSync, readlinkSync } from 'node:fs'
import { clrkError, messageOf } from '../errors.ts'
import type { StagedPaths } from './bwrap-spec.ts'
import { hostFiles, isWithin, resolveLinks } from './host-files.ts'
import { holdsCode, OWN_CODE } from './own-code.ts'
import type { Stage } from './stage.ts'
import { createUserNamespace } from './user-namespace.ts'

/** Sandbox id → what its agent writes to, where no links are left: an engine must not be given what lies inside. */
export const localWorkspaces = new Map<string, string>()

/**
 * Stages `path` with its owner's uid and gid shown as `base`.
 * Rejects with CLRK_SANDBOX_FAILED for a system directory, a home as a whole, anything of the worker's `state`, clrk's own
 * code, or a file system that cannot do it.
 */
export async function stageWorkspace(
  path: string,
  { stage, home, state, base, unshare }: { stage: Stage; home: string; state: string; base: number; unshare: string },
): Promise<NonNullable<StagedPaths['workspace']>> {
  const descriptor = openWorkspace(path)
  try {
    const target = readlinkSync(`/proc/self/fd/${descriptor}`)
    for (const place of [target, path]) refuseUnsuitable(place, [home, resolveLinks(hostFiles, home).target])
    if (holdsState(target, resolveLinks(hostFiles, state).target)) throw failure(path, ...STATE)
    if (holdsCode(target)) throw failure(path, ...OWN_CODE)
    const { uid, gid } = fstatSync(descriptor)
    const idmap = await createUserNamespace(
      unshare,
      { inside: uid, outside: base, count: 1 },
      { inside: gid, outside: base, count: 1 },
    )
    try {
      const source = stage.mount(descriptor, { readOnly: false, idmap })
      // Below a system directory the link that the caller went through is there by itself.
      const alias = path === target || isSystem(path) || isWithin(path, '/opt') ? null : path
      return { source, target, alias }
    } catch (error) {
      throw failure(
        path,
        `its file system cannot map owners (${messageOf(error)})`,
        'Use a directory on ext4, xfs, btrfs or tmpfs.',
      )
    } finally {
      closeSync(idmap)
    }
  } finally {
    closeSync(descriptor)
  }
}

function openWorkspace(path: string): number {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY)
  } catch (error) {
    throw failure(path, messageOf(error), 'Name a directory that exists.')
  }
}

/** Throws for what would hand over the machine or everything that somebody owns. `path`: absolute, normal. */
function refuseUnsuitable(path: string, homes: readonly string[]): void {
  if (homes.some(home => isWithin(home, path)))
    throw failure(path, 'it is or holds the whole home', 'Name a directory inside it.')
  if (/^\/[^/]*$/.test(path) || /^\/home\/[^/]+$/.test(path) || isSystem(path)) {
    throw failure(path, 'it is a system directory', 'Name a directory of your own, such as one in your home.')
  }
}

/** Would `path` show an agent, as its owner, the keys in the worker's `state`? Both without links. */
export function holdsState(path: string, state: string): boolean {
  return isWithin(path, state) || isWithin(state, path)
}

/** What is said of it, and what to do. */
export const STATE = ["it is, holds or lies in the worker's state", 'Keep the state and the workspace apart.'] as const

function isSystem(path: string): boolean {
  return /^\/(bin|boot|dev|etc|lib[a-z0-9]*|proc|run|sbin|sys|usr)(\/|$)/.test(path)
}

function failure(path: string, reason: string, fix: string) {
  return clrkError('CLRK_SANDBOX_FAILED', { step: `sharing the workspace ${path}`, reason, fix })
}

const O_PATH = 0o10000000
