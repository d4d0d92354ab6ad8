/** `upstreamTLS.additionalTrustBundleSecretRef`: all keys of a Secret as one PEM bundle, or why nothing may leave. */
import { X509Certificate } from 'node:crypto'
import { type ClrkFault, messageOf } from '../errors.ts'
import type { Policy } from '../policy/policy.ts'

/** `valuesOf` gives every value (latin1) of a Secret, or null where it does not exist. Fails closed: a fault. */
export function trustBundleOf(
  policy: Policy,
  valuesOf: (secret: string) => readonly string[] | null,
): { readonly pem: string; readonly fault: ClrkFault | null } {
  if (policy.trustBundle === null) return { pem: '', fault: null }
  const broken = (reason: string): { pem: string; fault: ClrkFault } => ({
    pem: '',
    fault: { code: 'CLRK_POLICY_BROKEN', details: { gateway: policy.gateway, reason } },
  })
  const values = valuesOf(policy.trustBundle)
  if (values === null) return broken(`the trust bundle Secret ${policy.trustBundle} does not exist`)
  const pem = values.join('\n')
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (certificates.length === 0) return broken(`the trust bundle Secret ${policy.trustBundle} holds no certificate`)
  try {
    for (const certificate of certificates) new X509Certificate(certificate)
  } catch (error) {
    return broken(`a certificate of the trust bundle Secret ${policy.trustBundle} is unreadable: ${messageOf(error)}`)
  }
  return { pem: certificates.join('\n'), fault: null }
}
