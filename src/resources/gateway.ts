/** EgressGateway: what holds unless a route says more, which ports are looked into and how, where telemetry goes. */
import * as z from 'zod'
import { parseAddress } from './addresses.ts'
import { canonicalName } from './hostnames.ts'
import {
  choice,
  fields,
  hostname,
  label,
  optional,
  ownNamespace,
  port,
  refuse,
  resource,
  scalar,
  secretReference,
} from './schema.ts'
import { duration } from './values.ts'

const listener = fields({
  name: label,
  protocol: choice(['TCP', 'TLS', 'HTTP', 'HTTPS'], { UDP: 'Leave the listener out; of UDP, only DNS is carried.' }),
  port: optional(port, null),
  tls: optional(fields({ mode: optional(choice(['Passthrough', 'Terminate']), null) }), null),
}).superRefine(({ protocol, tls }, context) => {
  if (tls !== null && (protocol === 'TCP' || protocol === 'HTTP')) {
    refuse(context, ['tls'], `a ${protocol} listener has no TLS`, 'Leave tls out, or write protocol: TLS.')
  }
  if (tls?.mode === 'Passthrough' && protocol === 'HTTPS') {
    refuse(context, ['tls', 'mode'], 'an HTTPS listener terminates TLS', 'Write protocol: TLS to pass it through.')
  }
})

const address = scalar(text => {
  const value = parseAddress(text)
  return value === null ? { problem: 'is not an address', fix: 'Write 192.0.2.1 or 2001:db8::1.' } : { value }
})

const endpoint = scalar<string | null>(text => {
  if (text === '') return { value: null }
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
    ? { value: text }
    : {
        problem: 'is not an OTLP/HTTP endpoint',
        fix: 'Write http://HOST:4318 or https://HOST/PATH; keys go into headers.',
      }
})

/** Where the proxy is. Whatever is wrong with it, the text is not quoted: it may hold a password. */
const proxyUrl = z.string().transform((text, context) => {
  const url = URL.parse(text)
  const name = (url?.hostname ?? '').replace(/^\[(.*)\]$/, '$1')
  const host = parseAddress(name) ?? canonicalName(name)
  const bare = url !== null && url.username === '' && url.password === '' && /^[^/?#]*\/\/[^/?#@]*\/?$/.test(text)
  if (!bare || host === null || url.port === '0' || !/^https?:$/.test(url.protocol)) {
    refuse(context, [], 'this is not the URL of a proxy', 'Write http://HOST:PORT; a credential goes into secretRef.')
    return z.NEVER
  }
  const secure = url.protocol === 'https:'
  return { secure, host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port) }
})

/** Keys of its Secret: either both values, or the two as `username:password` in one. */
export const PROXY_SECRETS = [['username', 'password'], ['token']] as const

const headers = z.record(z.string(), z.string()).superRefine((all, context) => {
  for (const [name, value] of Object.entries(all)) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(name)) {
      refuse(context, [name], 'this is not a header name', 'Write a name such as authorization.')
    } else if (!/^[\x20-\x7e]*$/.test(value)) {
      refuse(context, [name], 'this header value has characters outside ASCII', 'Write visible ASCII characters.')
    }
  }
})

const CONTENT_TYPES = ['application/json', 'application/x-ndjson', 'text/event-stream']

const captureBody = fields({
  maxBytes: optional(z.int().min(1).max(16_777_216), 65_536),
  includeContentTypes: optional(z.array(z.string()), CONTENT_TYPES),
})

export const egressGateway = resource(
  'EgressGateway',
  fields({
    defaultPolicy: optional(choice(['deny-all', 'allow-all']), 'deny-all' as const),
    enforcement: optional(choice(['enforce', 'audit']), 'enforce' as const),
    isolation: optional(choice(['shared', 'process']), 'shared' as const),
    listeners: z
      .array(listener)
      .min(1)
      .superRefine((all, context) => {
        for (const [index, { name }] of all.entries()) {
          if (all.findIndex(other => other.name === name) === index) continue
          refuse(
            context,
            [index, 'name'],
            `another listener is called ${name}`,
            'Give each listener a name of its own.',
          )
        }
      }),
    otlp: optional(
      fields({
        endpoint: optional(endpoint, null),
        headers: optional(headers, {}),
        captureBody: optional(captureBody, null),
      }),
      { endpoint: null, headers: {}, captureBody: null },
    ),
    upstreamTLS: optional(
      fields({
        additionalTrustBundleSecretRef: optional(secretReference, null),
        hostAliases: optional(z.array(fields({ ip: address, hostnames: z.array(hostname).min(1) })), []),
      }),
      { additionalTrustBundleSecretRef: null, hostAliases: [] },
    ),
    dns: optional(
      fields({
        lookupFamily: optional(choice(['V4Preferred', 'V4Only', 'V6Only', 'Auto', 'All']), 'V4Preferred' as const),
      }),
      { lookupFamily: 'V4Preferred' as const },
    ),
    upstreamProxy: optional(fields({ url: proxyUrl, secretRef: optional(secretReference, null) }), null),
    requestTimeout: optional(duration, 300_000),
  }),
).superRefine(({ metadata, spec }, context) => {
  const bundle = spec.upstreamTLS.additionalTrustBundleSecretRef
  ownNamespace(context, metadata, bundle, ['spec', 'upstreamTLS', 'additionalTrustBundleSecretRef'])
  ownNamespace(context, metadata, spec.upstreamProxy?.secretRef ?? null, ['spec', 'upstreamProxy', 'secretRef'])
})

/** As written, with defaults filled in; addresses, names and times are parsed (`requestTimeout` in milliseconds). */
export type EgressGateway = z.output<typeof egressGateway>
