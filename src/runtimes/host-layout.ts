/** What of the host's own layout a sandbox repeats: system directories, masks in /proc, and the files of /etc. */
import { readFileSync } from 'node:fs'
import { type HostFiles, resolveLinks } from './host-files.ts'

export type HostLayout = {
  /** Shown read-only. */
  readonly directories: readonly string[]
  /** Links at the root, such as /bin → usr/bin. */
  readonly links: readonly { readonly path: string; readonly target: string }[]
  /** In /proc, hidden because they speak of the whole machine. */
  readonly hiddenFiles: readonly string[]
  readonly hiddenDirectories: readonly string[]
  readonly etc: readonly HostEtcFile[]
}

/** A file of /etc that every sandbox gets its own version of. */
export type HostEtcFile = {
  readonly name: EtcName
  /** Where it really is, since a bind mount needs that: /etc/resolv.conf may lead to /run/systemd/resolve. */
  readonly target: string
  /** The host's text, or null where there is none. */
  readonly text: string | null
}

export type EtcName = (typeof ETC_NAMES)[number]

export function readHostLayout(files: HostFiles): HostLayout {
  const shown = files.list('/').filter(name => /^(usr|bin|sbin|lib[a-z0-9]*|etc|opt)$/.test(name))
  const paths = shown.map(name => `/${name}`)
  return {
    directories: paths.filter(path => files.kind(path) === 'directory'),
    links: paths.filter(path => files.kind(path) === 'link').map(path => ({ path, target: files.readLink(path) })),
    hiddenFiles: HIDDEN_FILES.filter(path => files.kind(path) === 'file'),
    hiddenDirectories: HIDDEN_DIRECTORIES.filter(path => files.kind(path) === 'directory'),
    etc: ETC_NAMES.map(name => ({
      name,
      target: resolveLinks(files, `/etc/${name}`).target,
      text: readText(`/etc/${name}`),
    })),
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

const ETC_NAMES = ['resolv.conf', 'hosts', 'hostname', 'nsswitch.conf', 'passwd', 'group'] as const

// What speaks of the whole machine and may be read, or written to, without being its root.
const HIDDEN_FILES = [
  'cmdline',
  'interrupts',
  'kcore',
  'key-users',
  'keys',
  'kmsg',
  'latency_stats',
  'sched_debug',
  'sysrq-trigger',
  'timer_list',
].map(name => `/proc/${name}`)

const HIDDEN_DIRECTORIES = ['acpi', 'asound', 'scsi'].map(name => `/proc/${name}`)
