/** Keys and certificates of one run, made by openssl(1): the origins', and those that the other contenders sign with. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NAMES } from './names.ts'

/** Paths of PEM files. P-256, but for squid, whose generator of certificates wants RSA. */
export type Certificates = {
  readonly originRoot: string
  readonly origin: string
  readonly originKey: string
  /** The CA of the contenders that mint, and one leaf for those that do not. `…Both`: certificate and key in one file. */
  readonly proxyRoot: string
  readonly proxyRootKey: string
  readonly proxyRootBoth: string
  readonly proxy: string
  readonly proxyKey: string
  readonly proxyBoth: string
  readonly squidBoth: string
}

export function makeCertificates(directory: string): Certificates {
  const at = (name: string) => join(directory, name)
  const openssl = (...argv: string[]) => execFileSync('openssl', argv, { cwd: directory, stdio: 'pipe' })
  const key = (name: string) => openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.key`)
  const selfSigned = (name: string, ...how: string[]) => {
    const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']
    const extra = extensions.flatMap(extension => ['-addext', extension])
    openssl(
      'req',
      '-x509',
      '-sha256',
      '-days',
      '30',
      '-subj',
      `/CN=bench ${name}`,
      '-out',
      `${name}.pem`,
      ...extra,
      ...how,
    )
  }
  const root = (name: string) => {
    key(name)
    selfSigned(name, '-key', `${name}.key`)
  }
  const leaf = (name: string, issuer: string, hosts: readonly string[]) => {
    key(name)
    openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`)
    writeFileSync(at(`${name}.ext`), `subjectAltName=${hosts.map(host => `DNS:${host}`).join(',')}`)
    const signer = ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`, '-CAcreateserial', '-days', '30', '-sha256']
    openssl('x509', '-req', '-in', `${name}.csr`, ...signer, '-extfile', `${name}.ext`, '-out', `${name}.pem`)
  }
  const both = (name: string) => {
    writeFileSync(at(`${name}-both.pem`), readFileSync(at(`${name}.pem`)) + readFileSync(at(`${name}.key`), 'utf8'))
    return at(`${name}-both.pem`)
  }
  root('origin-root')
  leaf('origin', 'origin-root', [NAMES.api, NAMES.bulk, `*.${NAMES.freshSuffix}`])
  root('proxy-root')
  leaf('proxy', 'proxy-root', [NAMES.api, NAMES.bulk])
  selfSigned('squid', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'squid.key')
  return {
    originRoot: at('origin-root.pem'),
    origin: at('origin.pem'),
    originKey: at('origin.key'),
    proxyRoot: at('proxy-root.pem'),
    proxyRootKey: at('proxy-root.key'),
    proxyRootBoth: both('proxy-root'),
    proxy: at('proxy.pem'),
    proxyKey: at('proxy.key'),
    proxyBoth: both('proxy'),
    squidBoth: both('squid'),
  }
}
