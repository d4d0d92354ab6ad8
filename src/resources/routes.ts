/** EgressL4Route: which hosts and addresses are reachable on which ports. AIProviderRoute: which endpoints and models. */
import * as z from 'zod'
import type { HostPattern, PortRange, ProviderId } from '../policy/policy.ts'
import { parseCidr } from './addresses.ts'
import { parsePattern } from './hostnames.ts'
import { choice, fields, optional, parentReference, port, refuse, resource, scalar, suggest } from './schema.ts'
import { endpointGlob, modelGlob } from './values.ts'

const cidr = scalar(text => {
  const result = parseCidr(text)
  return 'problem' in result ? result : { value: result }
})

const pattern = scalar<HostPattern>(text => {
  const value = parsePattern(text)
  if (value !== null) return { value }
  return /^[0-9.:[\]/]*$/.test(text) || text.includes('::')
    ? { problem: 'is an address, not a host name', fix: 'Put it under destinationCIDRs.' }
    : { problem: 'is not a host name', fix: 'Write api.example.com, or *.example.com for one label more.' }
})

/** `port`, or `startPort` and `endPort`. */
const ports = fields({ port: optional(port, null), startPort: optional(port, null), endPort: optional(port, null) })
  .superRefine((range, context) => {
    const single = range.port !== null
    if (single !== (range.startPort === null) || single !== (range.endPort === null)) {
      refuse(context, [], 'a port is one number or a range', 'Write port: 443, or startPort: 8000 and endPort: 8010.')
    } else if ((range.startPort ?? 0) > (range.endPort ?? 0)) {
      refuse(context, ['endPort'], 'the range ends before it starts', 'Write the lower number as startPort.')
    }
  })
  .transform((range): PortRange => {
    return { start: range.port ?? range.startPort ?? 0, end: range.port ?? range.endPort ?? 0 }
  })

const l4Match = fields({
  destinationCIDRs: optional(z.array(cidr), []),
  destinationHostnames: optional(z.array(pattern), []),
  ports: optional(z.array(ports), []),
  protocol: optional(choice(['TCP'], { UDP: 'Write TCP; of UDP, only DNS is carried.' }), 'TCP' as const),
}).superRefine((match, context) => {
  if (match.destinationCIDRs.length + match.destinationHostnames.length > 0) return
  const fix = 'Add destinationHostnames or destinationCIDRs (0.0.0.0/0 and ::/0 for the whole public internet).'
  refuse(context, [], 'a match without a destination matches nothing', fix)
})

export const egressL4Route = resource(
  'EgressL4Route',
  fields({
    parentRefs: z.array(parentReference).min(1),
    rules: optional(z.array(fields({ matches: optional(z.array(l4Match), []) })), []),
  }),
)

export type EgressL4Route = z.output<typeof egressL4Route>

/** As resources spell them, in the order in which messages list them. */
export const PROVIDER_IDS = ['openai', 'anthropic', 'google', 'azure-openai', 'bedrock', 'custom'] as const

const provider = scalar<ProviderId>(text => {
  const value = PROVIDER_IDS.find(id => id === text.toLowerCase())
  if (value !== undefined) return { value }
  return { problem: 'is not a provider', fix: suggest(text, PROVIDER_IDS) }
})

const aiMatch = fields({
  provider,
  endpoints: optional(z.array(endpointGlob), []),
  models: optional(z.array(modelGlob), []),
  hostnames: optional(z.array(pattern), []),
}).superRefine(({ provider, hostnames }, context) => {
  if (provider === 'custom' && hostnames.length === 0) {
    refuse(context, ['provider'], 'a custom provider has no hosts of its own', 'Add hostnames: [api.example.com].')
  }
  if (provider !== 'custom' && hostnames.length > 0) {
    const fix = 'Leave hostnames out, or write provider: custom.'
    refuse(context, ['hostnames'], `the hosts of ${provider} are known`, fix)
  }
})

export const aiProviderRoute = resource(
  'AIProviderRoute',
  fields({
    parentRefs: z.array(parentReference).min(1),
    rules: optional(z.array(fields({ matches: optional(z.array(aiMatch), []) })), []),
  }),
)

export type AIProviderRoute = z.output<typeof aiProviderRoute>
