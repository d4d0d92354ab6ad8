/** A denial → what the agent reads: RFC 9457 problem details, with the YAML that would allow it where there is one. */
import { type ClrkFault, describe } from '../errors.ts'
import { PROVIDERS } from '../providers/registry.ts'
import { escapeGlob } from '../resources/glob.ts'
import { parseAddress, specialRange } from './addresses.ts'
import { canonicalName } from './names.ts'

/**
 * Status and body (`application/problem+json`) for `fault`, which came out of `gateway` (`namespace/name`). Members:
 * `type`, `title`, `status`, `detail`, `code`, `gateway`, `fix` and, where one resource would allow what was refused,
 * `yaml`: that resource, ready to apply. Never contains anything but what the fault's details hold.
 */
export function explainProblem(fault: ClrkFault, gateway: string): { status: number; body: string } {
  const { code, status, title, why, fix } = describe(fault)
  const yaml = yamlFor(fault, gateway)
  const problem = {
    type: `tag:clrk.apoxy.dev,2026:${code}`,
    title,
    status,
    detail: why,
    code,
    gateway,
    fix,
    ...(yaml === null ? {} : { yaml }),
  }
  return { status, body: `${JSON.stringify(problem, null, 2)}\n` }
}

function yamlFor({ code, details }: ClrkFault, gateway: string): string | null {
  const name = canonicalName(String(details.name))
  const address = parseAddress(String(details.address))
  switch (code) {
    case 'CLRK_NAME_NOT_ALLOWED':
    case 'CLRK_PORT_NOT_ALLOWED':
    case 'CLRK_PLAIN_HTTP_NOT_ALLOWED':
      return name && l4Route(gateway, name, details.port, `destinationHostnames: [${quoted(name)}]`)
    case 'CLRK_ADDRESS_NOT_ALLOWED':
    case 'CLRK_SERVER_NAME_MISSING':
    case 'CLRK_ADDRESS_SPECIAL': {
      // What no rule opens gets no YAML: loopback, metadata, the host's own, forms that only lead to a private address.
      if (address === null || details.range === "the worker host's own") return null
      const range = specialRange(address)
      if (range !== null && (range.hard || address.includes(':') !== range.cidr.address.includes(':'))) return null
      const cidr = `${address}/${address.includes(':') ? 128 : 32}`
      return l4Route(gateway, address, details.port, `destinationCIDRs: [${quoted(cidr)}]`)
    }
    case 'CLRK_ENDPOINT_NOT_ALLOWED':
      return name && providerRoute(gateway, name, details)
    case 'CLRK_MODEL_NOT_ALLOWED':
      return name && providerRoute(gateway, name, details)
    default:
      return null
  }
}

function l4Route(gateway: string, what: string, port: unknown, destination: string): string {
  return route('EgressL4Route', gateway, `allow-${what}-${port}`, [`${destination}`, `ports: [{ port: ${port} }]`])
}

function providerRoute(gateway: string, name: string, details: ClrkFault['details']): string | null {
  const { provider, path, model } = details
  const known = PROVIDERS.find(({ id }) => id === provider)?.id
  // A path that was cut short or that no glob can name would open something else.
  if (known === undefined || typeof path !== 'string' || !path.startsWith('/') || path.length > 255) return null
  const match = [`provider: ${known}`, `endpoints: [${quoted(escapeGlob(path))}]`]
  if (known === 'custom') match.push(`hostnames: [${quoted(name)}]`)
  if (model !== undefined) match.push(`models: [${quoted(escapeGlob(String(model)))}]`)
  return route('AIProviderRoute', gateway, `allow-${known}-${path}`, match)
}

function route(kind: string, gateway: string, title: string, match: readonly string[]): string {
  const [namespace, name] = gateway.split('/')
  return `apiVersion: clrk.apoxy.dev/v1alpha1
kind: ${kind}
metadata:
  name: ${objectName(title)}
  namespace: ${namespace}
spec:
  parentRefs:
    - group: clrk.apoxy.dev
      kind: EgressGateway
      name: ${name}
  rules:
    - matches:
        - ${match.join('\n          ')}
`
}

/** A DNS label that says what `text` says. */
function objectName(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
}

/** JSON's strings are YAML's. */
function quoted(text: string): string {
  return JSON.stringify(text)
}
