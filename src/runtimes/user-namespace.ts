/** User namespaces that are held by a descriptor alone (user_namespaces(7)). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readlinkSync, writeFileSync } from 'node:fs'
import { clrkError, messageOf } from '../errors.ts'
import { closeAllOnExec } from '../kernel/descriptors.ts'

/** `count` ids from `inside` on are the host's from `outside` on. */
export type IdMap = { readonly inside: number; readonly outside: number; readonly count: number }

/**
 * A descriptor (close-on-exec; the caller closes it) of a fresh user namespace with these maps. Needs root.
 * `unshare`: path of util-linux's program. Rejects with CLRK_SANDBOX_FAILED.
 *
 * A process with threads, such as this one, cannot make one (unshare(2): EINVAL), so a short-lived child does.
 */
export async function createUserNamespace(unshare: string, uids: IdMap, gids: IdMap): Promise<number> {
  closeAllOnExec()
  // It says a byte once it is inside and ends with its standard input, so also with this process.
  const child = spawn(unshare, ['--user', '/bin/sh', '-c', 'echo; read -r end'], { env: {}, stdio: 'pipe' })
  const exited = once(child, 'close')
  try {
    await Promise.race([once(child.stdout, 'data'), exited])
    const inside = `/proc/${child.pid}`
    if (readlinkSync(`${inside}/ns/user`) === readlinkSync('/proc/self/ns/user')) throw new Error('it is ours')
    writeFileSync(`${inside}/uid_map`, `${uids.inside} ${uids.outside} ${uids.count}\n`)
    writeFileSync(`${inside}/gid_map`, `${gids.inside} ${gids.outside} ${gids.count}\n`)
    return openSync(`${inside}/ns/user`, 'r')
  } catch (error) {
    throw clrkError('CLRK_SANDBOX_FAILED', {
      step: 'creating a user namespace',
      reason: messageOf(error),
      fix: 'Check that /proc/sys/user/max_user_namespaces is not 0.',
    })
  } finally {
    child.stdin.destroy()
    await exited
  }
}
