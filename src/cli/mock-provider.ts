/**
 * A stand-in for AI providers on this machine: HTTPS under a throw-away CA on an address of 127/8 of its own, answering
 * with the providers' shapes (mock-answers.ts). It accepts exactly the credential that the manifests' policies inject.
 */
import { generateKeyPairSync, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import { parseAllDocuments } from 'yaml'
import { loadOrCreateAuthority } from '../pki/authority.ts'
import { mintLeaf } from '../pki/leaf.ts'
import type { ResourceFile, SecretInput } from '../worker/control.ts'
import { MOCK_HOSTS, type MockProviderId, mockAnswer } from './mock-answers.ts'

export type MockPlan = {
  readonly hosts: readonly {
    readonly host: string
    readonly provider: MockProviderId
    /** Any one of them is the right credential; header names in lower case. */
    readonly accepts: readonly { readonly header: string; readonly value: string }[]
  }[]
  /** Providers in the routes that have no stand-in. */
  readonly unknown: readonly string[]
}

export type MockProvider = {
  readonly address: string
  /** PEM of its CA. */
  readonly authority: string
  readonly hostnames: readonly string[]
  readonly unknown: readonly string[]
  readonly close: () => Promise<void>
}

/** Which hosts to stand in for, and what each accepts. None where `files` are invalid: the worker says what is wrong. */
export function planMockProvider(files: readonly ResourceFile[], secrets: readonly SecretInput[]): MockPlan {
  try {
    return plan(files, secrets)
  } catch {
    return { hosts: [], unknown: [] }
  }
}

function plan(files: readonly ResourceFile[], secrets: readonly SecretInput[]): MockPlan {
  const resources = files.flatMap(({ text }) => parseAllDocuments(text).map(document => document.toJS() as Loose))
  const ofKind = (kind: string) => resources.filter(resource => resource?.kind === kind)
  const keys = new Map<string, string>()
  for (const { metadata, data = {}, stringData = {} } of ofKind('Secret')) {
    for (const [key, value] of Object.entries(data))
      keys.set(`${metadata?.name}/${key}`, Buffer.from(value, 'base64').toString('latin1'))
    for (const [key, value] of Object.entries(stringData)) keys.set(`${metadata?.name}/${key}`, value)
  }
  for (const { name, data } of secrets) {
    for (const [key, value] of Object.entries(data)) keys.set(`${name.replace(/^.*\//, '')}/${key}`, value)
  }
  const accepts = new Map<string, { header: string; value: string }[]>()
  const routes = ofKind('AIProviderRoute')
  for (const route of routes) {
    const policies = ofKind('CredentialInjectionPolicy').filter(({ spec }) =>
      [...(spec?.parentRefs ?? []), ...(spec?.targetRefs ?? [])].some(
        ({ kind, name }) => kind === 'EgressGateway' || name === route.metadata?.name,
      ),
    )
    const credentials = policies.flatMap(({ spec }) => {
      const value = keys.get(`${spec?.secretRef?.name}/${spec?.secretKey ?? 'token'}`)
      const header = spec?.headerName?.toLowerCase()
      return header === undefined || !value ? [] : [{ header, value: value.replace(/\r?\n$/, '') }]
    })
    const matches = (route.spec?.rules ?? []).flatMap(rule => rule.matches ?? [])
    for (const provider of new Set(matches.map(match => String(match.provider).toLowerCase()))) {
      accepts.set(provider, [...(accepts.get(provider) ?? []), ...credentials])
    }
  }
  const hosts = MOCK_HOSTS.flatMap(({ host, provider }) => {
    const own = accepts.get(provider)
    return own === undefined ? [] : [{ host, provider, accepts: own }]
  })
  const known = new Set<string>(MOCK_HOSTS.map(({ provider }) => provider))
  return { hosts, unknown: [...accepts.keys()].filter(provider => !known.has(provider)) }
}

/** Starts it on port 443 of a free address. Rejects as listen(2) fails. */
export async function startMockProvider({ hosts, unknown }: MockPlan): Promise<MockProvider> {
  const { authority, contextFor } = throwAwayAuthority(hosts.map(({ host }) => host))
  const server = createServer({
    SNICallback: (name, done) => {
      const context = contextFor(name)
      done(context === null ? new Error('no such host here') : null, context ?? undefined)
    },
  })
  server.on('request', (request, response) => {
    const served = hosts.find(({ host }) => host === request.headers.host)
    if (served === undefined) return response.writeHead(421).end()
    const right = served.accepts.some(({ header, value }) => request.headers[header] === value)
    void mockAnswer(served.provider, right, request, response)
  })
  const address = await listenSomewhere(server)
  return {
    address,
    authority,
    hostnames: hosts.map(({ host }) => host),
    unknown,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** A CA whose key is nowhere once this returns but in memory, and certificates of it for `names`, minted when asked for. */
function throwAwayAuthority(names: readonly string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'clrk-mock-'))
  const authority = loadOrCreateAuthority(directory, 'mock/provider')
  rmSync(directory, { recursive: true })
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const contextFor = (name: string): SecureContext | null =>
    names.includes(name) ? createSecureContext({ key, cert: mintLeaf(authority, name, spki, Date.now()) }) : null
  return { authority: authority.certificatePem, contextFor }
}

async function listenSomewhere(server: Server): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    const address = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(2, 255)}`
    server.listen(443, address)
    try {
      await once(server, 'listening')
      return address
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt === 20) throw error
    }
  }
}

/** A resource as it may look before anybody has checked it. */
type Loose = {
  readonly kind?: string
  readonly metadata?: { readonly name?: string }
  readonly data?: Readonly<Record<string, string>>
  readonly stringData?: Readonly<Record<string, string>>
  readonly spec?: {
    readonly parentRefs?: readonly { readonly kind?: string; readonly name?: string }[]
    readonly targetRefs?: readonly { readonly kind?: string; readonly name?: string }[]
    readonly secretRef?: { readonly name?: string }
    readonly secretKey?: string
    readonly headerName?: string
    readonly rules?: readonly { readonly matches?: readonly { readonly provider?: string }[] }[]
  }
}
