/** Stages what a spec asks for beside the workspace: own files of /etc, the trust store, the tools. */
import { realpathSync } from 'node:fs'
import { posix } from 'node:path'
import { clrkError } from '../errors.ts'
import type { StagedPaths } from './bwrap-spec.ts'
import { credentialFilesUnder, isCredentialPath } from './credential-files.ts'
import { etcText } from './etc-files.ts'
import { type HostFiles, isWithin, resolveLinks } from './host-files.ts'
import type { HostLayout } from './host-layout.ts'
import type { SandboxSpec } from './runtime.ts'
import type { Stage } from './stage.ts'

/** Throws CLRK_SANDBOX_FAILED for a path that is missing or too much to show. */
export function stagePaths(
  spec: SandboxSpec,
  { host, files, stage }: { host: HostLayout; files: HostFiles; stage: Stage },
): Pick<StagedPaths, 'files' | 'tools' | 'hidden'> {
  const home = resolveLinks(files, spec.home).target
  const shown = toolPaths(files, spec, home)
  const bound = shown.filter(path => files.kind(path) !== 'link')
  return {
    files: [
      ...etcFiles(spec, host, files).map(({ text, target }) => ({ target, source: stage.write(text) })),
      ...spec.trust.binds.map(({ source, target }) => ({
        target: resolveLinks(files, target).target,
        source: stage.bind(realpathSync(source)),
      })),
    ],
    tools: shown.map(target =>
      files.kind(target) === 'link' ? { target, link: files.readLink(target) } : { target, source: stage.bind(target) },
    ),
    hidden: credentialFilesUnder(files, home, bound).flatMap(target => {
      const kind = files.kind(target)
      return kind === 'file' || kind === 'directory' ? [{ target, kind }] : []
    }),
  }
}

/** The paths to show and every link on the way to them, parents first, without what is shown anyway. */
function toolPaths(files: HostFiles, spec: SandboxSpec, home: string): readonly string[] {
  const workspace = spec.workspace === null ? null : resolveLinks(files, spec.workspace).target
  const paths = new Set<string>()
  for (const path of spec.readOnly) {
    const { target, links } = resolveLinks(files, path)
    if (files.kind(target) === null) throw failure(path, 'there is no such file or directory')
    if (isWithin(home, target) || TOO_MUCH.test(target)) throw failure(path, 'it would show more than a program')
    if (isCredentialPath(target, home)) continue
    for (const place of [...links, target]) {
      // Bound read-only over it, a part of the workspace would not be writable.
      if (SYSTEM.test(place) || (workspace !== null && isWithin(place, workspace))) continue
      paths.add(place)
    }
  }
  const isCovered = (path: string) =>
    [...paths].some(other => other !== path && isWithin(path, other) && files.kind(other) === 'directory')
  return [...paths].filter(path => !isCovered(path)).sort()
}

function etcFiles(spec: SandboxSpec, host: HostLayout, files: HostFiles) {
  const identity = { ...spec.user, home: spec.home, hostname: spec.id }
  return host.etc.flatMap(({ name, target, text: hostText }) => {
    const text = etcText(name, hostText, identity)
    if (text === null) return []
    // A mount point can be made in the private /run, but not in the read-only /etc.
    if (files.kind(target) === null && SYSTEM.test(target)) {
      if (name === 'hostname') return []
      throw failure(`/etc/${name}`, 'the host has no such file', `Make one: touch ${posix.normalize(target)}`)
    }
    return [{ target, text }]
  })
}

function failure(path: string, reason: string, fix = 'Name a program or its directory.') {
  return clrkError('CLRK_SANDBOX_FAILED', { step: `showing ${path}`, reason, fix })
}

const SYSTEM = /^\/(usr|bin|sbin|lib[a-z0-9]*|etc|opt)(\/|$)/
const TOO_MUCH = /^\/([^/]*|home\/[^/]+|(dev|proc|run|sys)\/.*)$/
