/** A host directory that an agent in a container may write to. */
import { lstatSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { clrkError, messageOf } from '../errors.ts'
import { hostFiles, isWithin, resolveLinks } from './host-files.ts'
import { holdsCode, OWN_CODE } from './own-code.ts'
import { holdsState, STATE } from './workspace.ts'

export type Workspace = { readonly path: string; readonly uid: number; readonly gid: number }

/**
 * Checks `path` (absolute) and follows its links. An engine opens the path itself, later: `inUse` are the workspaces of
 * agents that run, and inside one of those the agent could swap directories until then, so that is refused.
 * Throws CLRK_SANDBOX_FAILED for those, for system directories, for homes, for anything of the worker's `state` and for
 * clrk's own code.
 */
export function openWorkspace(path: string, inUse: Iterable<string>, state: string): Workspace {
  let real: string
  try {
    real = realpathSync(path)
  } catch (error) {
    throw failure(path, messageOf(error), 'Name a directory that exists.')
  }
  const stat = lstatSync(real)
  if (!stat.isDirectory()) throw failure(path, 'it is not a directory', 'Name a directory.')
  if (isWithin(homedir(), real) || /^\/[^/]*$/.test(real) || /^\/home\/[^/]+$/.test(real) || SYSTEM.test(real)) {
    throw failure(path, 'it is a system directory or a whole home', 'Name a directory of your own, inside it.')
  }
  if (holdsState(real, resolveLinks(hostFiles, state).target)) throw failure(path, ...STATE)
  if (holdsCode(real)) throw failure(path, ...OWN_CODE)
  for (const other of inUse) {
    if (real !== other && isWithin(real, other)) {
      throw failure(path, `it lies in ${other}, which another agent writes to`, 'Stop that agent, or share the whole.')
    }
  }
  return { path: real, uid: stat.uid, gid: stat.gid }
}

function failure(path: string, reason: string, fix: string) {
  return clrkError('CLRK_SANDBOX_FAILED', { step: `sharing the workspace ${path}`, reason, fix })
}

const SYSTEM = /^\/(bin|boot|dev|etc|lib[a-z0-9]*|proc|run|sbin|sys|usr|var\/(lib|run))(\/|$)/
