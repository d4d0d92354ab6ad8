/** The pause container of a sandbox, and the network namespace that it holds. */
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Container } from 'dockerode'
import { clrkError, messageOf } from '../errors.ts'
import { insideNetworkNamespace } from '../kernel/syscalls.ts'
import type { DockerEngine } from './docker-engine.ts'
import { ask, statusOf } from './docker-errors.ts'
import { containerName, pauseContainer } from './docker-spec.ts'
import { hostsText } from './etc-files.ts'
import type { PreparedNamespace } from './image-runtime.ts'

/** As `ImageRuntime.prepare`. */
export async function preparePod(
  engine: DockerEngine,
  sandbox: string,
  labels: Readonly<Record<string, string>>,
): Promise<PreparedNamespace> {
  const create = async () => engine.docker.createContainer(pauseContainer(await engine.setting(), sandbox, labels))
  const request = create().catch(error => {
    if (statusOf(error) !== 404) throw error
    engine.forgetSetting() // somebody has removed the pause image
    return create()
  })
  const pause = await ask(engine.socket, 'creating its pause container', request)
  try {
    const hosts = hostsFile(engine, sandbox)
    mkdirSync(dirname(hosts), { recursive: true })
    writeFileSync(hosts, hostsText(sandbox))
    chmodSync(hosts, 0o644) // whatever the umask
    await engine.starting(() => ask(engine.socket, 'starting its pause container', startPause(pause)))
    const pid = await pausePid(engine, pause)
    if (pid === null) throw failure('its pause container has ended at once')
    const netns = openPodNamespace(pid, pause.id)
    let released: Promise<void> | null = null
    return {
      netns,
      pause: pause.id,
      release: () => {
        if (released === null) closeSync(netns)
        released ??= removePod(engine, sandbox)
        return released
      },
    }
  } catch (error) {
    await removePod(engine, sandbox).catch(() => {}) // the first failure is the one to tell
    throw error
  }
}

/** Host path of the /etc/hosts of that sandbox's agent. */
export function hostsFile(engine: DockerEngine, sandbox: string): string {
  return join(engine.directory, 'hosts', sandbox)
}

/**
 * Removes both containers of a sandbox, and its hosts file. The agent's first: it must not outlive the namespace's
 * holder, whose end would be told as a failure, and Podman does not take the one away from the other.
 */
export async function removePod(engine: DockerEngine, sandbox: string): Promise<void> {
  for (const role of ['agent', 'pause'] as const) {
    await removeContainer(engine, engine.docker.getContainer(containerName(engine.stateId, sandbox, role)))
  }
  rmSync(hostsFile(engine, sandbox), { force: true })
}

/** runc 1.1.5 takes one in some hundred containers for «already running»; nothing is lost by a second try. */
async function startPause(pause: Container): Promise<void> {
  await pause.start().catch(async (error: unknown) => {
    if (!/cannot start an already running container/.test(messageOf(error))) throw error
    await pause.start()
  })
}

/** The process of a running pause container on this host; null where it does not run. */
export async function pausePid(engine: DockerEngine, pause: Container): Promise<number | null> {
  const { State } = await ask(engine.socket, 'looking at its pause container', pause.inspect())
  return State.Running ? State.Pid : null
}

/** Removes a container, running or not, with its anonymous volumes. One that is gone, or is going, is fine. */
export async function removeContainer(engine: DockerEngine, container: Container): Promise<void> {
  const request = container.remove({ force: true, v: true }).catch((error: unknown) => {
    const status = statusOf(error)
    if (status !== 404 && status !== 409) throw error
  })
  await ask(engine.socket, 'removing its container', request)
}

/**
 * Opens the network namespace of process `pid`, proves that it is the one of that container and has nothing but `lo`,
 * lets IPv6 in, which engines turn off, and closes ICMP sockets, which they open to all. The worker will do as it likes
 * in there, so it must not be another one: process ids of a virtual machine, or of a machine far away, mean something
 * else here.
 */
export function openPodNamespace(pid: number, container: string): number {
  let netns: number
  try {
    netns = openSync(`/proc/${pid}/ns/net`, 'r')
  } catch (error) {
    throw foreign(messageOf(error))
  }
  try {
    // Read after opening: the process still is the container's, so it was when its namespace was opened.
    if (!readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(container)) throw foreign('it is another process here')
    insideNetworkNamespace(netns, () => {
      const [, , ...interfaces] = readFileSync('/proc/thread-self/net/dev', 'utf8').trim().split('\n')
      const names = interfaces.map(line => line.split(':')[0]?.trim())
      if (names.join() !== 'lo') throw failure(`its namespace has the interfaces ${names.join(', ')}`)
      for (const name of ['all', 'default', 'lo']) {
        writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '0')
      }
      writeFileSync('/proc/sys/net/ipv4/ping_group_range', '1 0') // no group, as a new namespace has it
    })
    return netns
  } catch (error) {
    closeSync(netns)
    throw error
  }
}

function failure(reason: string) {
  const fix = 'Report it with the lines of the worker log around this moment.'
  return clrkError('CLRK_SANDBOX_FAILED', { step: 'opening its network namespace', reason, fix })
}

function foreign(reason: string) {
  return clrkError('CLRK_SANDBOX_FAILED', {
    step: 'finding its pause container among the processes of this machine',
    reason,
    fix: 'Use an engine that runs on this machine itself, not in a virtual machine or a container.',
  })
}
