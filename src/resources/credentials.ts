/** Secret: key material. CredentialInjectionPolicy: which key goes on which route's requests, and where. */
import * as z from 'zod'
import type { Metadata } from './schema.ts'
import {
  choice,
  fields,
  metadata,
  optional,
  ownNamespace,
  parentReference,
  refuse,
  resource,
  secretReference,
} from './schema.ts'
import { headerName } from './values.ts'

/** A Secret. Its values print nowhere: they are reached by `reveal` alone. */
export type Secret = {
  readonly kind: 'Secret'
  readonly metadata: Metadata
  readonly type: string
  readonly keys: readonly string[]
  /** The bytes under `key` as latin1, or null. */
  readonly reveal: (key: string) => string | null
}

/** As Kubernetes allows. */
const KEY = /^[-._a-zA-Z0-9]{1,253}$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Messages about values never quote them. */
function values(valid: (text: string) => boolean, problem: string, fix: string) {
  return optional(z.record(z.string(), z.string()), {}).superRefine((all, context) => {
    for (const [key, value] of Object.entries(all)) {
      if (!KEY.test(key))
        refuse(context, [key], 'this is not a key', 'Write letters, digits, hyphens, dots, underscores.')
      if (!valid(value)) refuse(context, [key], problem, fix)
    }
  })
}

export const secret = fields({
  apiVersion: z.literal('v1'),
  kind: z.literal('Secret'),
  metadata,
  type: optional(z.string(), 'Opaque'),
  immutable: optional(z.boolean(), false),
  data: values(
    value => BASE64.test(value.replace(/[\r\n]/g, '')),
    'the value under data is not base64',
    'Encode it (base64 -w0), or put the plain text under stringData.',
  ),
  stringData: values(value => value.isWellFormed(), 'the value is not text', 'Put its base64 under data.'),
}).transform(({ metadata, type, data, stringData }): Secret => {
  const bytes = new Map<string, string>()
  for (const [key, value] of Object.entries(data)) bytes.set(key, Buffer.from(value, 'base64').toString('latin1'))
  for (const [key, value] of Object.entries(stringData)) bytes.set(key, Buffer.from(value, 'utf8').toString('latin1'))
  return { kind: 'Secret', metadata, type, keys: [...bytes.keys()], reveal: key => bytes.get(key) ?? null }
})

const LATER = 'Use target: Header with headerName.'

const spec = fields({
  parentRefs: optional(z.array(parentReference), []),
  targetRefs: optional(z.array(parentReference), []),
  secretRef: secretReference,
  secretKey: optional(z.string().regex(KEY), 'token'),
  target: choice(['Header'], { QueryParam: LATER, ProviderAuth: LATER }),
  headerName,
}).superRefine(({ parentRefs, targetRefs }, context) => {
  if (parentRefs.length + targetRefs.length > 0) return
  refuse(context, [], 'the policy is attached to nothing', 'Add targetRefs with the group, kind and name of a route.')
})

export const credentialInjectionPolicy = resource('CredentialInjectionPolicy', spec).superRefine(
  ({ metadata, spec }, context) => ownNamespace(context, metadata, spec.secretRef, ['spec', 'secretRef']),
)

/** `headerName` is in lower case; what it is attached to is `targetsOf` in references.ts. */
export type CredentialInjectionPolicy = z.output<typeof credentialInjectionPolicy>
