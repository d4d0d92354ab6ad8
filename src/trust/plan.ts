/**
 * What a sandbox must find so that every client in it trusts its gateway's CA beside the roots that it trusted before:
 * files to prepare on the host, where they are bound, and the variables that point at them. Pure.
 *
 * The certs directory is bound whole: a mount point for `<subject_hash>.0` cannot be made in a read-only one.
 */
import { X509Certificate } from 'node:crypto'
import { join, posix } from 'node:path'
import { rootCertificates } from 'node:tls'
import type { BundleFile, CertsEntry, HostRoots } from './image-roots.ts'
import { mergeKeystore } from './keystores.ts'

/** Host paths that trust set-up puts into the sandbox, read-only, and the variables that point at them. */
export type TrustPlan = {
  readonly binds: readonly { readonly source: string; readonly target: string }[]
  readonly environment: Readonly<Record<string, string>>
}

/** What to write, paths relative to a directory that `installTrust` chooses; parents come before what they hold. */
export type TrustFiles = {
  readonly entries: readonly CertsEntry[]
  /** `source` is one of the paths above; `target` is absolute, inside the sandbox. */
  readonly binds: TrustPlan['binds']
  readonly environment: TrustPlan['environment']
  /** One sentence for everything that is not quite as on the host. */
  readonly notes: readonly string[]
}

/** Plans the trust store of a sandbox that sees the file system of `host`; `authority` is the CA as PEM. */
export function planTrust(host: HostRoots, authority: string, subjectHash: string): TrustFiles {
  const certificate = new X509Certificate(authority)
  const roots = host.bundles[0]?.pem ?? rootCertificates.join('\n')
  const notes = host.bundles.length > 0 ? [] : ["there is no CA bundle: the sandbox gets Node's own roots"]
  const entries: CertsEntry[] = [
    { path: 'ca.pem', kind: 'file', bytes: Buffer.from(authority) },
    { path: 'ca-bundle.pem', kind: 'file', bytes: appended(roots, authority) },
  ]
  const binds = [
    { source: 'ca.pem', target: AUTHORITY_PATH },
    { source: 'ca-bundle.pem', target: BUNDLE_PATH },
  ]

  // Real path inside the sandbox → its new content.
  const replaced = new Map<string, Buffer>()
  for (const { realPath, pem } of host.bundles) replaced.set(realPath, appended(pem, authority))
  const rootsDer = host.keystores.length === 0 ? [] : certificatesOf(roots)
  for (const { realPath, bytes } of host.keystores) {
    const merged = mergeKeystore(bytes, certificate.raw, rootsDer, certificate.validFromDate.getTime())
    replaced.set(realPath, merged.bytes)
    if (merged.note !== null) notes.push(`${realPath}: ${merged.note}`)
  }

  if (host.certs !== null) {
    const { realPath, entries: present } = host.certs
    entries.push({ path: 'certs', kind: 'directory' }, ...certsDirectory(host.certs, replaced, authority, subjectHash))
    binds.push({ source: 'certs', target: realPath })
    for (const { path } of present) replaced.delete(posix.join(realPath, path))
    if (!present.some(({ path }) => path === 'ca-certificates.crt')) {
      entries.push({ path: 'certs/ca-certificates.crt', kind: 'file', bytes: appended(roots, authority) })
    }
  }
  for (const [index, [realPath, bytes]] of [...replaced].entries()) {
    const path = `file-${index}`
    entries.push({ path, kind: 'file', bytes })
    binds.push({ source: path, target: realPath })
  }
  return { entries, binds, environment: ENVIRONMENT, notes }
}

/** Everything that the directory holds, with the merged files in place and the CA under its subject hash. */
function certsDirectory(
  certs: NonNullable<HostRoots['certs']>,
  replaced: ReadonlyMap<string, Buffer>,
  authority: string,
  subjectHash: string,
): readonly CertsEntry[] {
  const kept = certs.entries.map((entry): CertsEntry => {
    const path = join('certs', entry.path)
    const bytes = entry.kind === 'file' ? replaced.get(posix.join(certs.realPath, entry.path)) : undefined
    return bytes === undefined ? { ...entry, path } : { path, kind: 'file', bytes }
  })
  const taken = new Set(certs.entries.map(({ path }) => path))
  // OpenSSL reads <hash>.0, .1, … and stops at the first that is missing.
  let number = 0
  while (taken.has(`${subjectHash}.${number}`)) number += 1
  return [...kept, { path: `certs/${subjectHash}.${number}`, kind: 'file', bytes: Buffer.from(authority) }]
}

function appended(pem: BundleFile['pem'], authority: string): Buffer {
  return Buffer.from(pem === '' || pem.endsWith('\n') ? `${pem}${authority}` : `${pem}\n${authority}`, 'latin1')
}

function certificatesOf(pem: string): readonly Buffer[] {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g)
  return [...blocks].map(([, base64 = '']) => Buffer.from(base64, 'base64'))
}

/** The sandbox has a file system of its own on /run. */
const AUTHORITY_PATH = '/run/clrk/ca.pem'
const BUNDLE_PATH = '/run/clrk/ca-bundle.pem'

/**
 * For clients that do not read the system's store. A variable that adds roots points at the CA alone, one that
 * replaces them at the merged bundle. Left out: SSL_CERT_DIR (nothing needs it beside SSL_CERT_FILE, and it would hide
 * a client's own directory), JAVA_TOOL_OPTIONS (prints a line in every Java program; the keystore is bound instead).
 */
const ENVIRONMENT = {
  // add to the client's own roots
  NODE_EXTRA_CA_CERTS: AUTHORITY_PATH, // Node has its roots compiled in and reads nothing else; npm, bun and deno too
  DENO_CERT: AUTHORITY_PATH, // deno
  // replace them
  SSL_CERT_FILE: BUNDLE_PATH, // OpenSSL and what follows it: Python ssl, httpx, Ruby, Go, uv, bun, rustls-native
  REQUESTS_CA_BUNDLE: BUNDLE_PATH, // Python requests carries certifi's bundle; the Azure CLI and conda use it
  CURL_CA_BUNDLE: BUNDLE_PATH, // curl builds with a bundle path of their own
  GIT_SSL_CAINFO: BUNDLE_PATH, // git passes its own setting to libcurl
  AWS_CA_BUNDLE: BUNDLE_PATH, // boto3 and the AWS CLI carry botocore's bundle
  PIP_CERT: BUNDLE_PATH, // wins over a `cert` in /etc/pip.conf
  npm_config_cafile: BUNDLE_PATH, // wins over a `cafile` in a system-wide npmrc
  CODEX_CA_CERTIFICATE: BUNDLE_PATH, // codex
  GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: BUNDLE_PATH, // gRPC's C core carries its own roots
  CARGO_HTTP_CAINFO: BUNDLE_PATH, // cargo passes its own setting to libcurl
  NIX_SSL_CERT_FILE: BUNDLE_PATH, // programs built by Nix
  CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE: BUNDLE_PATH, // gcloud
  HTTPLIB2_CA_CERTS: BUNDLE_PATH, // Python httplib2 carries its own roots
  BUNDLE_SSL_CA_CERT: BUNDLE_PATH, // Ruby's bundler
  // use the system's store
  DENO_TLS_CA_STORE: 'system', // deno
  UV_SYSTEM_CERTS: '1', // uv
  UV_NATIVE_TLS: '1', // older uv
} as const
